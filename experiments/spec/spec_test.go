package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim"
)

func TestWhatIsInTheRepository(t *testing.T) {
	names, err := List("..")
	require.NoError(t, err)
	for _, n := range names {
		e, err := Load("..", n)
		require.NoError(t, err)
		require.NotEmpty(t, e.Title)
		require.NotEmpty(t, e.Engines())
	}
	for _, want := range strings.Fields("fig01 fig02 fig03 fig05 fig06 fig07 fig08 fig09 fig10 fig11 fig12 fig13 fig14 fig15 order table1 table2") {
		require.Contains(t, names, want)
	}
	for _, p := range []string{"smoke", "quick", "paper"} {
		_, err := LoadProfile("..", p)
		require.NoError(t, err)
	}
	_, err = LoadProfile("..", "huge")
	require.EqualError(t, err, `profile "huge": allowed: smoke, quick, paper`)
}

func TestByEngine(t *testing.T) {
	count := func(name, engine string) [2]int {
		vm, sim, err := ByEngine("..", name, engine)
		require.NoError(t, err)
		return [2]int{len(vm), len(sim)}
	}
	all, err := List("..")
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 0}, count("fig06", ""))
	require.Equal(t, [2]int{0, 1}, count("fig06", "sim"))
	require.Equal(t, [2]int{0, 1}, count("table2", ""))
	require.Equal(t, [2]int{0, len(all)}, count(All, "sim"))
	require.Equal(t, len(all), count(All, "")[0]+count(All, "")[1])
	_, _, err = ByEngine("..", "fig01", "vm")
	require.EqualError(t, err, "fig01: no part of it is for engine vm; there is: sim")
	_, _, err = ByEngine("..", "fig01", "kvm")
	require.EqualError(t, err, `engine "kvm": allowed: vm, sim`)
}

func TestSeries(t *testing.T) {
	e, err := Load("..", "order")
	require.NoError(t, err)
	part := e.Sims[0]
	require.Equal(t, sim.Config{Cores: 24, Seed: 1, Switch: 3512}, part.Config(part.Series[0]))
	var got []sim.Spec
	for _, s := range part.Series {
		x, err := s.Sim()
		require.NoError(t, err)
		got = append(got, x)
	}
	alps := func(order string, p policy.Params) sim.Spec {
		return sim.Spec{Name: "alps", Order: order, Step: time.Second, Params: p}
	}
	require.Equal(t, []sim.Spec{alps("off", policy.Paper()), alps("fifo", policy.Paper()), alps("strict", policy.Paper()),
		alps("bounded", policy.Paper()), alps("fifo", policy.Artifact())}, got)

	e, err = Load("..", "fig08")
	require.NoError(t, err)
	part = e.Sims[0]
	require.Equal(t, sim.Platform{Delay: time.Millisecond, Jitter: 9 * time.Millisecond}, part.Config(part.Series[5]).Platform)
	spec, err := part.Series[4].Sim()
	require.NoError(t, err)
	require.Equal(t, sim.Spec{Name: "cfs"}, spec)
}

const goodVM = `figure: fig06
title: t
parts:
  - engine: vm
    workload: workloads/w.yaml
    load: 0.9
    seed: 1
    schedulers:
      - {name: cfs, policy: cfs}
`

const goodSim = `figure: fig01
title: t
parts:
  - engine: sim
    workloads: [w]
    loads: [0.9]
    cores: 24
    invocations: 100
    series:
      - {name: cfs}
`

func TestComplaints(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "traces"), os.DirFS("../traces")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "workloads"), os.DirFS("../workloads")))
	require.NoError(t, os.Rename(filepath.Join(dir, "workloads", "huawei.yaml"), filepath.Join(dir, "workloads", "w.yaml")))
	x := filepath.Join(dir, "x.yaml")
	load := func(text string) error {
		require.NoError(t, os.WriteFile(x, []byte(text), 0o644))
		_, err := Load(dir, "x")
		return err
	}
	require.NoError(t, load(goodVM))
	require.NoError(t, load(goodVM+"    trace: true\n"))
	for _, c := range []struct{ add, want string }{
		{"    laod: 1\n", x + ":10:5: laod: no such key; allowed: cores, engine, invocations, learners, load, loads, measure, platform, records, refill, schedulers, seed, series, share_lag, switch, trace, workload, workloads"},
		{"      - {name: a, policy: eevdf}\n", x + `:10:27: parts[0].schedulers[1].policy: "eevdf": allowed: cfs, alps`},
		{"      - {name: a, policy: alps, order: random}\n", x + `:10:40: parts[0].schedulers[1].order: "random": allowed: off, fifo, strict, bounded`},
		{"      - {name: a, policy: alps, params: {alpha: -1}}\n", x + ":10:16: parts[0].schedulers[1].params: "},
		{"      - {name: a, policy: alps, params: {aplha: 1}}\n", x + ":10:16: parts[0].schedulers[1].params: "},
		{"      - {name: cfs, policy: cfs}\n", x + `:10:16: parts[0].schedulers[1].name: "cfs" is there twice`},
		{"    cores: 3\n", x + `:4:13: parts[0].cores: not for engine vm`},
		{"  - {engine: vm}\n", x + ":10:14: parts[1].engine: a second part for vm; one is allowed"},
		{"  - {engine: kvm}\n", x + `:10:14: parts[1].engine: "kvm": allowed: vm, sim, host`},
	} {
		require.ErrorContains(t, load(goodVM+c.add), c.want)
	}
	require.NoError(t, load(goodSim))
	for _, c := range []struct{ old, new, want string }{
		{"cfs", "eevd", `:10:16: parts[0].series[0].scheduler: "eevd": allowed: cfs, cfs-flat, eevdf, fifo,`},
		{"name: cfs", "name: cfs, order: fifo", `:10:16: parts[0].series[0].scheduler: "cfs" has no order, step or params; alps and ghost-alps have`},
		{"name: cfs", "name: a, scheduler: alps, order: last", `:10:43: parts[0].series[0].order: "last": allowed: off, fifo, strict, bounded`},
		{"name: cfs", "name: cfs, platform: {delay: 2s}", `:10:39: parts[0].series[0].platform.delay: 2s: allowed: 0s to 1s`},
		{"name: cfs", "name: sfs, gaps: -1", `:10:27: parts[0].series[0].gaps: -1: for sfs only, and in (0, 1e+06]`},
		{"24", "0", `:7:12: parts[0].cores: 0: allowed: 1 to 4096`},
		{"100", "0", `:8:18: parts[0].invocations: 0: allowed: 1 to 10000000`},
		{"[0.9]", "[0.9, 2.1]", `:6:18: parts[0].loads[1]: 2.1 is outside (0, 2]`},
		{"[0.9]", "[.nan]", `:6:13: parts[0].loads[0]: NaN is outside (0, 2]`},
		{"[w]", "[azur]", `:5:17: parts[0].workloads[0]: "azur": workload: open `},
		{"[w]", "[]", `:4:13: parts[0].workloads: missing`},
		{"engine: sim", "engine: host", `:4:13: parts[0].loads: not for engine host`},
	} {
		require.ErrorContains(t, load(strings.Replace(goodSim, c.old, c.new, 1)), x+c.want)
	}
	// All that is wrong is said at once.
	err := load(strings.NewReplacer("24", "0", "100", "0").Replace(goodSim))
	require.ErrorContains(t, err, "cores: 0")
	require.ErrorContains(t, err, "invocations: 0")
	for text, want := range map[string]string{
		"measure: cost": `parts[0].measure: cost needs records and learners`,
		"measure: cost, records: [0], learners: [mean]": `parts[0].records[0]: 0: allowed: 1 to 1000000`,
		"measure: groups, records: [1]":                 `parts[0].measure: groups has no records`,
		"measure: speed":                                `parts[0].measure: "speed": allowed: groups, cost`,
	} {
		require.ErrorContains(t, load("figure: t\ntitle: t\nparts: [{engine: host, workloads: [w], "+text+"}]\n"), want)
	}
	_, err = Load(dir, "fig99")
	require.ErrorContains(t, err, "there are: x")
}

func FuzzExperiment(f *testing.F) {
	f.Add(goodVM)
	f.Add(goodSim)
	f.Add("figure: table2\ntitle: t\nparts: [{engine: host, workloads: [w], measure: cost, records: [100], learners: [avg, rf]}]\n")
	dir := f.TempDir()
	require.NoError(f, os.Mkdir(filepath.Join(dir, "workloads"), 0o755))
	require.NoError(f, os.WriteFile(filepath.Join(dir, "workloads", "w.yaml"), []byte(small), 0o644))
	path := filepath.Join(dir, "x.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parse("x", path, []byte(text))
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		require.NotEmpty(t, e.Engines())
		for _, p := range e.Sims {
			for _, s := range p.Series {
				spec, err := s.Sim()
				require.NoError(t, err)
				require.Contains(t, sim.Names(), spec.Name)
				require.Positive(t, p.Config(s).Cores)
			}
		}
		for _, h := range e.Hosts {
			require.NotEmpty(t, h.Mixes)
		}
	})
}
