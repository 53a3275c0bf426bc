// SPDX-License-Identifier: Apache-2.0

package report

import (
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/plot"
)

var experimentsDir = filepath.Join("..", "..", "experiments")

// makes checks that a command that the page prints is one that makes what it is printed for: runs of an experiment by
// an engine that it has a part for, in a profile that has the experiment, or the target that the YAML names.
func makes(t *testing.T, command string) {
	t.Helper()
	rest, ok := strings.CutPrefix(command, "go run mage.go ")
	require.True(t, ok, command)
	words := strings.Fields(rest)
	if words[0] == "kernel:cost" {
		e, err := config.Load(experimentsDir, "table3")
		require.NoError(t, err)
		require.Equal(t, words[0], e.Target)
		return
	}
	require.Equal(t, "experiments:run", words[0], command)
	var name, engine, profile string
	for _, w := range words[1:] {
		flag, value, isFlag := strings.Cut(w, "=")
		switch {
		case !isFlag:
			name = w
		case flag == "-engine":
			engine = value
		case flag == "-profile":
			profile = value
		default:
			require.Equal(t, "-accel", flag, command)
		}
	}
	vm, sim, err := config.ByEngine(experimentsDir, name, engine)
	require.NoError(t, err, command)
	if name == config.All {
		require.NotEmpty(t, sim, command)
		return
	}
	require.Len(t, slices.Concat(vm, sim), 1, command)
	if profile == "" {
		require.NotEmpty(t, sim, "in a guest it needs a profile: %s", command)
		return
	}
	require.NotEmpty(t, vm, "a profile is for guests: %s", command)
	p, err := config.LoadProfile(experimentsDir, profile)
	require.NoError(t, err, command)
	require.True(t, p.Includes(name), command)
}

// Every command of the page makes what it is printed for.
func TestPrintedCommandsMakeWhatIsMissing(t *testing.T) {
	for _, f := range plot.Catalog {
		if f.Kind == plot.CodeOnly {
			continue
		}
		e, err := config.Load(experimentsDir, f.Name)
		require.NoError(t, err)
		for _, engine := range dataset.Engines {
			command := claims.Command(f.Name, engine)
			require.Equal(t, slices.Contains(e.Engines(), engine), command != "", "%s, %s: %q", f.Name, engine, command)
			if command != "" {
				makes(t, command)
			}
		}
	}
	root, out := t.TempDir(), t.TempDir()
	figuretest.Shows(t, root, "overhead", 0.9, figuretest.Sim("cfs", 1, 2))
	page, err := Draw(t.Context(), Options{Results: root, Out: out, Light: true})
	require.NoError(t, err)
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	text := html.UnescapeString(string(data))
	printed := regexp.MustCompile(`go run mage\.go [^<"]+`).FindAllString(text, -1)
	require.Greater(t, len(printed), 60)
	for _, command := range printed {
		makes(t, strings.TrimSpace(command))
	}
	for _, table := range dataset.Grids {
		section := text[strings.Index(text, `<h2 id="`+table.Name+`">`):]
		section = section[:strings.Index(section[1:], "<h2")+1]
		require.Contains(t, section, "Not made. To make it: <code>go run mage.go ", table.Name)
	}
	for name, want := range map[string]bool{"peers": false, "deployment": false, "fig06": true, "never": true} {
		section := text[strings.Index(text, `<h2 id="`+name+`">`):]
		section = section[:strings.Index(section[1:], "<h2")+1]
		require.Equal(t, want, strings.Contains(section, "To simulate it: <code>go run mage.go "), name)
	}
}

// A figure whose simulated sfs has other parameters than the measured one says so, and no other does.
func TestFiguresSayWhichSFSTheyHave(t *testing.T) {
	said := 0
	for _, f := range plot.Catalog {
		if f.Kind == plot.CodeOnly {
			continue
		}
		e, err := config.Load(experimentsDir, f.Name)
		require.NoError(t, err)
		other := false
		for _, s := range e.Sims {
			for _, x := range s.Series {
				if x.Name.V == "sfs" {
					other = other || !x.Order.IsZero() || !x.Gaps.IsZero()
				}
			}
		}
		require.Equal(t, other, strings.Contains(f.Note, plot.PlottedSFS), f.Name)
		if other {
			said++
		}
	}
	require.Greater(t, said, 5)
	i := slices.IndexFunc(terms, func(x term) bool { return x.Name == "SFS" })
	require.Contains(t, terms[i].Meaning, "slices of a fifth of that gap and no order")
}

// A verdict of one round is marked as such, and three rounds have none.
func TestThePageMarksOneRound(t *testing.T) {
	draw := func(rounds ...int) string {
		root, out := t.TempDir(), t.TempDir()
		var runs []results.Result
		for _, round := range rounds {
			runs = append(runs, figuretest.VM("cfs", round, 4), figuretest.VM("alps", round, 1))
		}
		figuretest.Shows(t, root, paper.Headline, 0.9, runs...)
		page, err := Draw(t.Context(), Options{Results: root, Out: out, Light: true})
		require.NoError(t, err)
		data, err := os.ReadFile(page)
		require.NoError(t, err)
		means, err := os.ReadFile(filepath.Join(out, "means.tsv"))
		require.NoError(t, err)
		require.Regexp(t, `\nheadline\tvm\thuawei\t90\talps\t\d\t\d+(\t[\d.]+){3}\t0\.\d{6}\t0\.\d{6}\t0\.\d{6}\t0\.`, string(means))
		require.Regexp(t, `\nheadline\tvm\thuawei\t90\tcfs\t.*(\t1\.000000){6}\n`, string(means))
		return strings.ReplaceAll(string(data), "\u00a0", " ")
	}
	const note = "It is of one round: an interval is over the blocks of that run, and nothing says how far another round would differ."
	one := draw(1)
	require.Contains(t, one, note)
	require.Contains(t, one, `holds">holds (one round)</span>`)
	require.Contains(t, one, ", within one run)")
	three := draw(1, 2, 3)
	require.NotContains(t, three, note)
	require.NotContains(t, three, "(one round)")
	require.NotContains(t, three, ", within one run)")
}
