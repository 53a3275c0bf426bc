package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsInTheRepository(t *testing.T) {
	names, err := List("..")
	require.NoError(t, err)
	require.Contains(t, names, "fig06")
	for _, n := range names {
		_, err := Load("..", n)
		require.NoError(t, err)
	}
	for _, p := range []string{"smoke", "quick", "paper"} {
		_, err := LoadProfile("..", p)
		require.NoError(t, err)
	}
	_, err = LoadProfile("..", "huge")
	require.EqualError(t, err, `profile "huge": allowed: smoke, quick, paper`)
}

// The workload is the artifact's, by the counts of its trace file.
func TestHuawei(t *testing.T) {
	e, err := Load("..", "fig06")
	require.NoError(t, err)
	total, group := 0, map[string]int{}
	for _, c := range e.Mix.Classes {
		total += c.Count.V
		group[c.Group.V] += c.Count.V
	}
	require.Equal(t, 15000, total)
	require.Equal(t, map[string]int{"G1": 10461, "G2": 3485, "G3": 904, "G4": 150}, group) // Table 1: 69.8/23.2/6/1 %
	p, err := LoadProfile("..", "smoke")
	require.NoError(t, err)
	a, err := e.Rows(p, 1)
	require.NoError(t, err)
	b, err := e.Rows(p, 2)
	require.NoError(t, err)
	require.Len(t, a, p.Invocations.V)
	require.NotEqual(t, a, b)
}

// The artifact's own file can be replayed where somebody has it.
func TestArtifactTrace(t *testing.T) {
	file, err := filepath.Abs("../../../shared/traces/huawei.exp")
	require.NoError(t, err)
	if _, err := os.Stat(file); err != nil {
		t.Skip("the artifact's trace is not here")
	}
	e, err := Load("..", "fig06")
	require.NoError(t, err)
	e.Trace = &Trace{}
	e.Trace.File.V = file
	p, err := LoadProfile("..", "paper")
	require.NoError(t, err)
	rows, err := e.Rows(p, 1)
	require.NoError(t, err)
	require.Len(t, rows, 15000)
	counts := make([]int, len(e.Mix.Classes))
	for _, r := range rows {
		counts[r.Class]++
	}
	for i, c := range e.Mix.Classes {
		require.Equal(t, c.Count.V, counts[i], "%s n=%d", c.Function.V, c.N.V)
	}
}

const good = `figure: fig06
title: t
workload: w.yaml
load: 0.9
seed: 1
schedulers:
  - {name: cfs, policy: cfs}
`

func TestComplaints(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("../workloads/huawei.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "w.yaml"), data, 0o644))
	x := filepath.Join(dir, "x.yaml")
	load := func(text string) error {
		require.NoError(t, os.WriteFile(x, []byte(text), 0o644))
		_, err := Load(dir, "x")
		return err
	}
	require.NoError(t, load(good))
	for _, c := range []struct{ add, want string }{
		{"laod: 1\n", x + ":8:1: laod: no such key; allowed: figure, load, schedulers, seed, title, trace, workload"},
		{"  - {name: a, policy: eevdf}\n", x + `:8:23: schedulers[1].policy: "eevdf": allowed: cfs, alps`},
		{"  - {name: a, policy: alps, order: random}\n", x + `:8:36: schedulers[1].order: "random": allowed: off, fifo, strict, bounded`},
		{"  - {name: a, policy: alps, params: {alpha: -1}}\n", x + ":8:12: schedulers[1].params: "},
		{"  - {name: a, policy: alps, params: {aplha: 1}}\n", x + ":8:12: schedulers[1].params: "},
		{"  - {name: cfs, policy: cfs}\n", x + `:8:12: schedulers[1].name: "cfs" is there twice`},
		{"trace: {file: none.exp}\n", x + ":8:15: trace.file: "},
	} {
		require.ErrorContains(t, load(good+c.add), c.want)
	}
	require.ErrorContains(t, load("figure: fig06\nload: 11\nworkload: w.yaml\nschedulers: [{name: a, policy: cfs}]\n"), x+":2:7: load: 11 is outside (0, 2]")
	_, err = Load(dir, "fig99")
	require.ErrorContains(t, err, "there are: w, x")
}
