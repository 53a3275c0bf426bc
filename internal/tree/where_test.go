// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ARCHITECTURE.md's table "Where to look" names files that are there, and behind
// each file names that are defined in it.
func TestWhereToLookIsTrue(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(page), "\n## Where to look\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n## ")
	names := 0
	for row := range strings.Lines(table) {
		require.NotContains(t, row, "``")
		text := ""
		for _, m := range tick.FindAllStringSubmatch(row, -1) {
			switch name := m[1]; {
			case strings.HasPrefix(name, "results/"), strings.ContainsAny(name, " :"), regexp.MustCompile(`^\w*\.(c|csv|json|tsv)$`).MatchString(name):
				text = "" // not of this tree, or a command
			case strings.Contains(name, "/") || strings.HasSuffix(name, ".go"):
				text = ""
				info, err := os.Stat(filepath.Join(root, name))
				require.NoError(t, err, "ARCHITECTURE.md names %s", name)
				if !info.IsDir() {
					b, err := os.ReadFile(filepath.Join(root, name))
					require.NoError(t, err)
					text = string(b)
					if strings.HasSuffix(name, ".patch") {
						text = strings.ReplaceAll(text, "\n+", "\n") // what it adds
					}
				}
			default:
				names++
				defined := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|var |int BPF_PROG\(|(static )?(__\w+ )*(int|bool|void|__u\d+|struct \w+) \*?)` + regexp.QuoteMeta(name) + `\b`)
				require.True(t, defined.MatchString(text), "ARCHITECTURE.md: %s is not defined in the file before it: %s", name, row)
			}
		}
	}
	require.Greater(t, names, 15)
}
