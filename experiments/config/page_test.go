// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keysOf are the YAML keys of a struct's fields, without those of structs that it inlines.
func keysOf(structs ...any) (keys []string) {
	for _, s := range structs {
		for f := range reflect.TypeOf(s).Fields() {
			if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" && key != "-" {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// docs/experiments.md has every key that a file may have, and no other.
func TestThePageHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/experiments.md")
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| ((?:`[a-z_]+`(?:, )?)+) \\|")
	key := regexp.MustCompile("`([a-z_]+)`")
	said := map[string][]string{} // heading → keys in the first column
	for _, section := range strings.Split(string(text), "\n#")[1:] {
		heading, body, _ := strings.Cut(strings.TrimLeft(section, "# "), "\n")
		for _, r := range row.FindAllStringSubmatch(body, -1) {
			for _, k := range key.FindAllStringSubmatch(r[1], -1) {
				said[heading] = append(said[heading], k[1])
			}
		}
		slices.Sort(said[heading])
	}
	want := map[string][]string{
		"Experiment": keysOf(file{}),
		"Part":       keysOf(part{}, VM{}, Sim{}, Host{}),
		"Series":     keysOf(Series{}),
		"Workload":   keysOf(Workload{}),
		"gap":        keysOf(Gap{}),
		"classes":    keysOf(Class{}),
		"times":      keysOf(Times{}),
		"burst":      keysOf(Burst{}),
		"drift":      keysOf(Drift{}),
		"population": keysOf(Population{}),
		"flip":       keysOf(Flip{}),
		"Machine":    keysOf(Machine{}),
		"platform":   keysOf(Platform{}),
		"Profile":    keysOf(Profile{}),
	}
	require.Equal(t, want, said)
	var inline [][]string // keys of values that are written as {key: VALUE, key}
	for _, m := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(string(text), -1) {
		var keys []string
		for item := range strings.SplitSeq(m[1], ",") {
			k, _, _ := strings.Cut(strings.TrimSpace(item), ":")
			keys = append(keys, k)
		}
		slices.Sort(keys)
		inline = append(inline, keys)
	}
	require.ElementsMatch(t, [][]string{keysOf(Scheduler{}), keysOf(Worker{}), keysOf(Slow{}), keysOf(Drifted{}), keysOf(Subset{})}, inline)
}
