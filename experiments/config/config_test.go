// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/alps/sim/setup"
	"github.com/ds2-lab/alps/experiments/results"
)

func TestWhatIsInTheRepository(t *testing.T) {
	names, err := List("..")
	require.NoError(t, err)
	for _, n := range names {
		e, err := Load("..", n)
		require.NoError(t, err)
		require.NotEmpty(t, e.Title)
		require.Equal(t, e.Target == "", len(e.Engines()) > 0)
	}
	for _, want := range strings.Fields("fig01 fig02 fig03 fig04 fig05 fig06 fig07 fig08 fig09 fig10 fig11 fig12 fig13 fig14 fig15 order table1 table2 table3") {
		require.Contains(t, names, want)
	}
	for _, p := range []string{"smoke", "brief", "quick", "paper", "headline"} {
		_, err := LoadProfile("..", p)
		require.NoError(t, err)
	}
	_, err = LoadProfile("..", "huge")
	require.EqualError(t, err, `profile "huge": allowed: smoke, brief, quick, paper, headline, cells`)
}

func TestByEngine(t *testing.T) {
	count := func(name, engine string) [2]int {
		vm, sim, err := ByEngine("..", name, engine)
		require.NoError(t, err)
		return [2]int{len(vm), len(sim)}
	}
	all, err := LoadAll("..", All)
	require.NoError(t, err)
	all = slices.DeleteFunc(all, func(e Experiment) bool { return e.Target != "" })
	require.Equal(t, [2]int{1, 0}, count("fig06", ""))
	require.Equal(t, [2]int{0, 1}, count("fig06", "sim"))
	require.Equal(t, [2]int{0, 1}, count("table2", ""))
	withoutGuest := slices.DeleteFunc(slices.Clone(all), func(e Experiment) bool { return e.ByNameOnly || !slices.Contains(e.Engines(), results.EngineSim) })
	require.Less(t, len(withoutGuest), len(all), "deployment is measured only")
	require.Equal(t, [2]int{0, len(withoutGuest)}, count(All, "sim"))
	byName := 0
	for _, e := range all {
		if e.ByNameOnly {
			byName++
			require.Equal(t, [2]int{1, 0}, count(e.Name, ""))
		}
	}
	require.Positive(t, byName)
	require.Equal(t, len(all)-byName, count(All, "")[0]+count(All, "")[1])
	_, _, err = ByEngine("..", "load", "vm")
	require.EqualError(t, err, "load: no part of it is for engine vm; there is: sim")
	_, _, err = ByEngine("..", "fig01", "kvm")
	require.EqualError(t, err, `engine "kvm": allowed: vm, sim`)
}

func TestSeries(t *testing.T) {
	e, err := Load("..", "order")
	require.NoError(t, err)
	part := e.Sims[0]
	require.Equal(t, sim.Config{Cores: 24, Seed: 2, Switch: 3512, Refill: 100 * time.Microsecond, ShareLag: 350 * time.Millisecond,
		Platform: sim.Platform{CPU: 14700 * time.Microsecond, Cgroup: setup.PlatformBeside}}, part.Config(part.Series[0], 2))
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

	// A series may be simulated on a machine of its own, at a load of its own.
	e, err = Load("..", "fig05")
	require.NoError(t, err)
	part = e.Sims[0]
	require.Equal(t, sim.Config{Cores: 1, Seed: 1}, part.Config(part.Series[4], 1))
	require.InDelta(t, 0.8, part.Load(part.Series[0], 1), 0)
	require.InDelta(t, 0.865, part.Load(part.Series[4], 1), 0)
	sfs, err := part.Series[3].Sim()
	require.NoError(t, err)
	require.Equal(t, sim.Spec{Name: "sfs", Order: model.OrderOff, Gaps: 0.2}, sfs)
}

// A series is the same thing in every experiment and on both engines.
func TestOneNameOneOrder(t *testing.T) {
	all, err := LoadAll("..", All)
	require.NoError(t, err)
	orders, seen := map[string]string{"alps": model.OrderBounded, "alps-artifact": model.OrderFIFO}, map[string]int{}
	own := map[string]string{} // by experiment and series
	check := func(e Experiment, engine string, series []Series) {
		for _, s := range series {
			on, err := s.VM()
			require.NoError(t, err)
			at := e.Name + " " + s.Name.V
			if other, ok := own[at]; ok {
				require.Equal(t, other, on.Order, "%s on both engines", at)
			}
			own[at] = on.Order
			if want, ok := orders[s.Name.V]; ok {
				require.Equal(t, want, on.Order, "%s on %s in %s", s.Name.V, engine, e.Name)
				require.Equal(t, []any{"alps", time.Second, policy.Paper()}, []any{on.Scheduler, on.Step, on.Params}, "%s on %s in %s", s.Name.V, engine, e.Name)
				seen[s.Name.V+" "+engine]++
			}
		}
	}
	for _, e := range all {
		if e.VM != nil {
			check(e, results.EngineVM, e.VM.Series)
		}
		for _, part := range e.Sims {
			check(e, results.EngineSim, part.Series)
		}
	}
	for _, name := range []string{"alps", "alps-artifact"} {
		for _, engine := range []string{results.EngineVM, results.EngineSim} {
			require.GreaterOrEqual(t, seen[name+" "+engine], 4, "%s on %s", name, engine)
		}
	}
}

const goodVM = `figure: fig06
title: t
parts:
  - engine: vm
    workloads: [w]
    loads: [0.9]
    seed: 1
    series:
      - {name: cfs}
`

const goodSim = `figure: fig01
title: t
parts:
  - engine: sim
    workloads: [w]
    loads: [0.9]
    machine: m
    invocations: 100
    series:
      - {name: cfs}
`

func TestComplaints(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "traces"), os.DirFS("../traces")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "workloads"), os.DirFS("../workloads")))
	require.NoError(t, os.Rename(filepath.Join(dir, "workloads", "huawei.yaml"), filepath.Join(dir, "workloads", "w.yaml")))
	machine := filepath.Join(dir, "machines", "m.yaml")
	require.NoError(t, os.Mkdir(filepath.Dir(machine), 0o755))
	require.NoError(t, os.WriteFile(machine, []byte("name: m\ncores: 24\n"), 0o644))
	x := filepath.Join(dir, "x.yaml")
	load := func(text string) error {
		require.NoError(t, os.WriteFile(x, []byte(text), 0o644))
		_, err := Load(dir, "x")
		return err
	}
	require.NoError(t, load(goodVM))
	require.NoError(t, load(goodVM+"    trace: true\n"))
	for _, c := range []struct{ add, want string }{
		{"    laod: 1\n", x + ":10:5: laod: no such key; allowed: cores, deployment, deployments, engine, function_cpus, invocations, learners, loads, machine, measure, records, rounds, seed, series, trace, worker, workloads"},
		{"      - {name: a, scheduler: eevdf}\n", x + `:10:30: parts[0].series[1].scheduler: "eevdf": allowed: ` + strings.Join(vmSchedulers, ", ")},
		{"      - {name: steady, params: {alpha: 1}}\n", x + ":10:16: parts[0].series[1].params: "},
		{"      - {name: steady, order: fifo}\n", x + `:10:16: parts[0].series[1].scheduler: "steady" has no order, step or params`},
		{"      - {name: srpt}\n", x + `:10:16: parts[0].series[1].scheduler: "srpt": allowed: cfs, `},
		{"      - {name: a, scheduler: alps, order: random}\n", x + `:10:43: parts[0].series[1].order: "random": allowed: off, fifo, strict, bounded`},
		{"      - {name: alps, step: 500ns}\n", x + `:10:28: parts[0].series[1].step: 500ns: allowed: 1us to 30m0s`},
		{"      - {name: alps, step: 0s}\n", x + `:10:28: parts[0].series[1].step: 0s: allowed: 1us to 30m0s`},
		{"      - {name: alps, params: {alpha: -1}}\n", x + ":10:16: parts[0].series[1].params: "},
		{"      - {name: alps, params: {aplha: 1}}\n", x + ":10:16: parts[0].series[1].params: "},
		{"      - {name: fifo, step: 1s}\n", x + `:10:16: parts[0].series[1].scheduler: "fifo" has no order, step or params`},
		{"      - {name: cfs}\n", x + `:10:16: parts[0].series[1].name: "cfs" is there twice`},
		{"      - {name: sfs, gaps: 2}\n", x + `:10:16: parts[0].series[1].name: "sfs": gaps, machine and loads are not for engine vm`},
		{"      - {name: alps, on: cfs}\n", x + `:10:16: parts[0].series[1].scheduler: "alps": allowed on another series: srpt, srpt-eb, random, random40`},
		{"      - {name: srpt, on: rr}\n", x + `:10:26: parts[0].series[1].on: "rr": is no series of this part that runs`},
		{"      - {name: srpt, on: srpt}\n", x + `:10:26: parts[0].series[1].on: "srpt": is no series`},
		{"      - {name: srpt, on: cfs, kernel: \"6.12\"}\n", x + `:10:39: parts[0].series[1].kernel: "6.12": nothing runs; the kernel is that of cfs`},
		{"    machine: m\n", x + `:4:13: parts[0].machine: not for engine vm`},
		{"      - {name: a, scheduler: {command: ./x.yaml, kernel: \"7.3\"}}\n", x + `:10:40: parts[0].series[1].scheduler.command: "./x.yaml": give the path of an executable program, relative to `},
		{"      - {name: a, scheduler: {comand: scx_simple}}\n", x + `:10:31: comand: no such key; allowed: command, kernel`},
		{"      - {name: a, scheduler: {kernel: \"7.3\"}}\n", x + `:10:30: parts[0].series[1].scheduler.command: missing; give the path of a program`},
		{"      - {name: a, kernel: \"6.12\", scheduler: {command: scx_simple, kernel: \"7.3\"}}\n", x + `:10:76: parts[0].series[1].scheduler.kernel: "7.3": the series has kernel "6.12"`},
		{"      - {name: a, step: 1s, scheduler: {command: scx_simple}}\n", x + `:10:50: parts[0].series[1].scheduler.command: a program has no order, step, params or on`},
		{"      - {name: alps, backend: bpf}\n", x + `:10:31: parts[0].series[1].backend: "bpf": allowed: hooks, scx`},
		{"      - {name: sfs, backend: scx}\n", x + `:10:30: parts[0].series[1].backend: only alps and steady have one`},
		{"    function_cpus: [4, 64]\n", x + `:10:24: parts[0].function_cpus[1]: 64: allowed: 1 to 63`},
		{"    deployments: [apart, both]\n", x + `:10:26: parts[0].deployments[1]: "both": allowed: apart, paper`},
		{"    deployment: apart\n    deployments: [apart]\n", x + `:10:17: parts[0].deployment: not beside deployments`},
		{"  - {engine: vm}\n", x + ":10:14: parts[1].engine: a second part for vm; one is allowed"},
		{"  - {engine: kvm}\n", x + `:10:14: parts[1].engine: "kvm": allowed: vm, sim, host`},
	} {
		require.ErrorContains(t, load(goodVM+c.add), c.want)
	}
	require.NoError(t, load(goodSim))
	for _, c := range []struct{ old, new, want string }{
		{"cfs", "eevd", `:10:16: parts[0].series[0].scheduler: "eevd": allowed: ` + strings.Join(sim.Names(), ", ")},
		{"name: cfs", "name: cfs, order: fifo", `:10:16: parts[0].series[0].scheduler: "cfs" has no order, step or params; alps and ghost-alps have`},
		{"name: cfs", "name: a, scheduler: alps, order: last", `:10:43: parts[0].series[0].order: "last": allowed: off, fifo, strict, bounded`},
		{"name: cfs", "name: a, scheduler: alps, step: 500ns", `:10:42: parts[0].series[0].step: 500ns: allowed: 1us to 30m0s`},
		{"name: cfs", "name: a, scheduler: alps, step: 31m", `:10:42: parts[0].series[0].step: 31m0s: allowed: 1us to 30m0s`},
		{"name: cfs", "name: a, scheduler: {command: scx_simple}", `:10:40: parts[0].series[0].scheduler: a command is not for engine sim`},
		{"name: cfs", "name: cfs, machine: n", `:10:30: parts[0].series[0].machine: "n": machine: open `},
		{"name: cfs", "name: sfs, order: fifo", `:10:28: parts[0].series[0].order: "fifo": of sfs only off is allowed: slices only`},
		{"name: cfs", "name: sfs, order: off, step: 1s", `:10:16: parts[0].series[0].scheduler: "sfs" has no order, step or params`},
		{"loads: [0.9]", "loads: [0.9]\n    cores: [0]", `:7:13: parts[0].cores[0]: 0: allowed: 1 to 1024`},
		{"name: cfs", "name: steady, params: {prior: -1}", `:10:16: parts[0].series[0].params: steady: prior: -1 is outside [0, 1000]`},
		{"name: cfs", "name: steady, params: {alpha: 1}", `:10:16: parts[0].series[0].params: read steady parameters: json: unknown field "alpha"`},
		{"name: cfs", "name: steady, order: fifo", `:10:16: parts[0].series[0].scheduler: "steady" has no order, step or params; alps and ghost-alps have, steady has params`},
		{"name: cfs", "name: cfs, loads: [1, 1]", `:10:16: parts[0].series[0].loads: 2 loads for the part's 1`},
		{"name: cfs", "name: cfs, loads: [3]", `:10:29: parts[0].series[0].loads[0]: 3 is outside (0, 2]`},
		{"name: cfs", "name: cfs, kernel: x", `:10:16: parts[0].series[0].name: "cfs": on, kernel and backend are not for engine sim`},
		{"name: cfs", "name: sfs, gaps: -1", `:10:27: parts[0].series[0].gaps: -1: for sfs only, and in (0, 1e+06]`},
		{"machine: m", "machine: n", `:7:14: parts[0].machine: "n": machine: open `},
		{"    machine: m\n", "", `:4:13: parts[0].machine: missing`},
		{"    machine: m\n", "    machine: m\n    rounds: -1\n", `:8:13: parts[0].rounds: -1: allowed: 1 to 100`},
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
	err := load(strings.NewReplacer("0.9", "0", "100", "0").Replace(goodSim))
	require.ErrorContains(t, err, "loads[0]: 0")
	require.ErrorContains(t, err, "invocations: 0")
	for text, want := range map[string]string{
		"measure: cost": `parts[0].measure: cost needs records and learners`,
		"measure: cost, records: [0], learners: [mean]": `parts[0].records[0]: 0: allowed: 1 to 1000000`,
		"measure: groups, records: [1]":                 `parts[0].measure: groups has no records`,
		"measure: speed":                                `parts[0].measure: "speed": allowed: groups, cost, index, hooks, code`,
		"measure: hooks":                                `parts[0].workloads: not for measure hooks`,
		"measure: code, records: [1]":                   `parts[0].measure: code has no records`,
	} {
		require.ErrorContains(t, load("figure: t\ntitle: t\nparts: [{engine: host, workloads: [w], "+text+"}]\n"), want)
	}
	for text, want := range map[string]string{
		"name: m\ncores: 0":                                                    ":2:8: cores: 0: allowed: 1 to 4096",
		"name: m\ncores: 1\nrefill: 2s":                                        ":3:9: refill: 2s: allowed: 0s to 1s",
		"name: m\ncores: 1\nplatform: {cpu: -1ms}":                             ":3:17: platform.cpu: -1ms: allowed: 0s to 1s",
		"name: m\ncores: 1\nplatform: {cpus: 1ms}":                             ":3:12: cpus: no such key",
		"name: m\ncores: 1\nplatform: {beside: true}":                          ":3:12: beside: is called cgroup now",
		"name: m\ncores: 1\nplatform: {cgroup: near}":                          `:3:20: platform.cgroup: "near": allowed: apart, beside, function`,
		"name: m\ncores: 1\nplatform: {cpu: 9ms, lock: 1ms}":                   ":3:28: platform.lock: a function's server is in its cgroup: allowed beside cgroup function only",
		"name: m\ncores: 1\nplatform: {cpu: 9ms, cgroup: function, lock: 5ms}": ":3:46: platform.lock: 5ms, twice, is more than the platform's CPU time of 9ms",
		"name: M\ncores: 1":                                                    `:1:7: name: "M": a name such as paper is needed`,
		"name: m\ncores: 1\nshare_lag: 1h\nswitch: fast":                       ":4:1: value: cannot unmarshal",
	} {
		require.NoError(t, os.WriteFile(machine, []byte(text+"\n"), 0o644))
		require.ErrorContains(t, load(goodSim), machine+want)
	}
	_, err = FindMachine(os.DirFS(".."), "papier")
	require.ErrorContains(t, err, `machine "papier": no such file; allowed: bare, guest, no-lag, `)
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
	require.NoError(f, os.Mkdir(filepath.Join(dir, "machines"), 0o755))
	require.NoError(f, os.WriteFile(filepath.Join(dir, "machines", "m.yaml"), []byte("name: m\ncores: 24\n"), 0o644))
	path := filepath.Join(dir, "x.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parse("x", path, []byte(text))
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		require.Equal(t, e.Target == "", len(e.Engines()) > 0)
		if e.VM != nil {
			require.NotEmpty(t, e.VM.Mixes)
			for _, s := range e.VM.Series {
				_, err := s.VM()
				require.NoError(t, err)
			}
		}
		for _, p := range e.Sims {
			for _, s := range p.Series {
				spec, err := s.Sim()
				require.NoError(t, err)
				require.Contains(t, sim.Names(), spec.Name)
				require.Positive(t, p.Config(s, 1).Cores)
			}
		}
		for _, h := range e.Hosts {
			require.NotEmpty(t, h.Mixes)
		}
	})
}

func TestWhatOtherTargetsMake(t *testing.T) {
	e, err := Load("..", "table3")
	require.NoError(t, err)
	require.Equal(t, "kernel:cost", e.Target)
	require.Empty(t, e.Engines())
	_, _, err = ByEngine("..", "table3", "")
	require.ErrorContains(t, err, "table3: kernel:cost makes it")
	_, sim, err := ByEngine("..", All, results.EngineSim)
	require.NoError(t, err)
	for _, e := range sim {
		require.Empty(t, e.Target)
	}
	_, err = parse("x", "x.yaml", []byte("figure: x\ntitle: t\nparts: [{engine: host, measure: code}, {engine: host, measure: code}]\n"))
	require.ErrorContains(t, err, "another target makes it, figures:draw: no other part is allowed")
}

// A machine that is accepted can be simulated.
func FuzzMachine(f *testing.F) {
	for _, name := range []string{"paper", "oracle", "no-lag"} {
		data, err := os.ReadFile(filepath.Join("..", "machines", name+".yaml"))
		require.NoError(f, err)
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := LoadMachine(fstest.MapFS{"m.yaml": {Data: []byte(text)}}, "m.yaml")
		if err != nil {
			require.ErrorContains(t, err, "m.yaml:")
			return
		}
		c := m.Config()
		c.Functions = []sim.Function{{UID: "1"}}
		_, err = sim.Run(t.Context(), c, sim.Spec{Name: "cfs"}, []sim.Invocation{{CPU: time.Millisecond}})
		require.NoError(t, err)
	})
}
