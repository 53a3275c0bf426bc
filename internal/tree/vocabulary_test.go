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

// synonyms are words for things that docs/glossary.md calls by another word.
var synonyms = map[string]string{
	"turn": "time slice, or on-CPU segment", "turns": "time slice, or on-CPU segment",
	"place": "position, or CPU", "work": "cpu_time",
	"slot": "time slice", "quantum": "time slice", "prio": "rank", "priority": "rank",
	"repetition": "round", "repeat": "rounds", "repeats": "rounds", "job": "invocation, or run",
	"latency": "turnaround, or wait", "duration": "turnaround, or burst", "node": "host", "nodes": "hosts",
}

// said are the keys of YAML files and the flags that code declares.
var said = regexp.MustCompile(`yaml:"([a-z_]+)|\.(?:String|Bool|Int|Int64|Uint|Uint64|Float64|Duration|Text|Func|BoolFunc)?(?:Var)?\((?:&?[\w.]+, ?)?"([a-z][a-z-]*)", |(?m:^\t([a-z]+) \*(?:string|int|bool|time\.Duration),)`)

// synonymsIn finds keys and flags with one of the synonyms in them.
func synonymsIn(code string) []string {
	var found []string
	for _, m := range said.FindAllStringSubmatch(code, -1) {
		for word := range strings.FieldsFuncSeq(m[1]+m[2]+m[3], func(r rune) bool { return r == '_' || r == '-' }) {
			if right := synonyms[word]; right != "" {
				found = append(found, m[1]+m[2]+m[3]+": say "+right)
			}
		}
	}
	return found
}

// Flags and keys of YAML files use the glossary's words.
func TestFlagsAndKeysUseTheGlossary(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	words := 0
	for _, file := range tracked(t, root) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		words += len(said.FindAllString(string(text), -1))
		for _, s := range synonymsIn(string(text)) {
			t.Errorf("%s: %s (docs/glossary.md)", file, s)
		}
	}
	require.Greater(t, words, 100)
	glossary, err := os.ReadFile(filepath.Join(root, "docs", "glossary.md"))
	require.NoError(t, err)
	for line := range strings.Lines(string(glossary)) {
		require.LessOrEqual(t, len(line), 220, "a line a term: %s", line)
	}
	for synonym, right := range synonyms {
		require.NotContains(t, string(glossary), "| "+synonym+" |", "it is a synonym of %s", right)
	}
}

func TestSynonymsIn(t *testing.T) {
	require.Equal(t, []string{"turn_ms: say time slice, or on-CPU segment"}, synonymsIn("A int `yaml:\"turn_ms\"`"))
	require.Equal(t, []string{"max-work: say cpu_time"}, synonymsIn(`f.IntVar(&o.max, "max-work", 0, "")`))
	require.Equal(t, []string{"repeat: say rounds"}, synonymsIn("func Run(\n\trepeat *int, // how often\n)"))
	require.Empty(t, synonymsIn(`fs.Int("rounds", 1, "how often, job by job")`))
}

// turn is the noun, which could mean a time slice or an on-CPU segment.
var turn = regexp.MustCompile(`(?i)(?:\b(?:a|the|its|one|each|this|another|no|of|same|learnt)|['’]s) turns?\b`)

// Pages and comments say time slice or on-CPU segment.
func TestProseSaysTimeSlice(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	for _, file := range tracked(t, root) {
		if (!strings.HasSuffix(file, ".md") && !strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, ".yaml")) || strings.Contains(file, "testdata/") || strings.HasPrefix(file, "internal/tree/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasSuffix(file, ".go") {
				_, line, _ = strings.Cut(line, "//")
			}
			if m := turn.FindString(line); m != "" {
				t.Errorf("%s: %q: say time slice (granted) or on-CPU segment (used): %s", file, m, strings.TrimSpace(line))
			}
		}
	}
	require.True(t, turn.MatchString("it ends a turn") && turn.MatchString("CFS's turns") && !turn.MatchString("asked in turn, it turns off"))
}
