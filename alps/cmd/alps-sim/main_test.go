// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/internal/golden"
	"github.com/ds2-lab/alps/internal/pagetest"
)

func sims(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func TestSimTable(t *testing.T) {
	rows := []simRow{
		{Scheduler: "cfs", Load: 0.9, Invalid: []string{}, Groups: []simGroup{
			{"G1", 10461, 185.44, 233.6, 295.1, 521.2, 200.8, 230.15, 10.96}, {"G4", 150, 8346, 10262, 13401.8, 116441.6, 8593.3, 8600, 412.5}, {"all", 10611, 1, 2, 3, 4, 5, 5.5, 6}}},
		{Scheduler: "srpt-global", Load: 0.9, Invalid: []string{}, Groups: []simGroup{{"G1", 1, 74, 74, 97.7, 142.8, 74.2, 74.2, 0}}},
	}
	work := &simulate.Arrivals{Workload: "huawei", Load: 0.9, Cores: 24, Seed: 1, Invocations: make([]sim.Invocation, 15000)}
	for name, print := range map[string]func(*bytes.Buffer) error{
		"sim.txt":  func(b *bytes.Buffer) error { return printSim(b, work, rows) },
		"sim.json": func(b *bytes.Buffer) error { return printSimJSON(b, work, rows) },
	} {
		var b bytes.Buffer
		require.NoError(t, print(&b))
		golden.Check(t, name, b.String())
	}
}

func TestSimRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-scheduler cfs,eevd":                 `alps-sim: scheduler: "eevd" is none of ` + strings.Join(sim.Names(), ", "),
		"-scheduler cfs,cfs":                  `alps-sim: scheduler: "cfs" is there twice`,
		"-load 0":                             "alps-sim: load: 0 is outside (0, 2]",
		"-load 2.1":                           "alps-sim: load: 2.1 is outside (0, 2]",
		"-load NaN":                           "alps-sim: load: NaN is outside (0, 2]",
		"-cores 0":                            "alps-sim: cores: 0 is outside [1, 4096]",
		"-n 0":                                "alps-sim: n: 0 is outside [1, 10000000]",
		"-order last":                         `alps-sim: order: "last" is none of off, fifo, strict, bounded`,
		"-step 0s":                            "alps-sim: step: 0s is outside [1us, 30m0s]",
		"-gaps 0":                             "alps-sim: gaps: 0 is outside (0, 1e+06]",
		"-switch -1ns":                        "alps-sim: switch: -1ns is outside [0s, 1s]",
		"-scheduler steady,scx -alpha 2":      "alps-sim: -alpha: no scheduler of -scheduler follows the policy alps: alps and ghost-alps do",
		"-scheduler cfs -like artifact":       "alps-sim: -like: no scheduler of -scheduler follows the policy alps",
		"-memory 9 -octave 1s":                "alps-sim: -memory: no scheduler of -scheduler follows the policy steady: steady and scx do\n-octave: no",
		"-scheduler scx -order fifo -step 2s": "alps-sim: -order: for alps and ghost-alps, and off for sfs; none is in -scheduler\n-step: for alps and ghost-alps",
		"-scheduler sfs -order fifo":          "alps-sim: -order: for alps and ghost-alps, and off for sfs",
		"-scheduler cfs -gaps 2":              "alps-sim: -gaps: for sfs; it is not in -scheduler",
		"-drain -1s":                          "alps-sim: drain: -1s is outside [0s, 24h0m0s]",
		"-alpha 0":                            "alps-sim: policy: alpha: 0 is outside",
		"-load 0 -cores 0 -n 0":               "cores: 0 is outside [1, 4096]\nload: 0 is outside (0, 2]\nn: 0 is outside",
		"-workload hwawei":                    `workload "hwawei": no such file; allowed: alike, azure, bimodal, burst, cold, drift, fib15, flip, flood, huawei, once, pareto, pool, rare, swap, turncoat, zipf, or the path`,
		"-workload ../alps/testdata/srpt.csv": "workload ../alps/testdata/srpt.csv: a trace has no CPU times: give them by -times FILE.yaml",
	} {
		code, stdout, stderr := sims(strings.Fields(args)...)
		require.NotZero(t, code, args)
		require.Empty(t, stdout, args)
		require.Contains(t, stderr, want, args)
	}
	dir := t.TempDir()
	times := filepath.Join(dir, "times.yaml")
	require.NoError(t, os.WriteFile(times, []byte("times: [{function: fib, n: 28, cpu: 100ms}]\n"), 0o644))
	cut := filepath.Join(dir, "cut.exp")
	for text, want := range map[string]string{
		"1 28 fib 20 5006\n2 28 fi":           cut + ":2: 3 fields: want id n function gap port\n",
		"1 28 fib 20 5006\n2 31 fib 20 5018":  cut + ":2: fib n=31 has no CPU time in " + times + "\n",
		"1 28 fib 20 5006\n\n3 28 fib 2 5006": cut + ":3: id: \"3\": want 2, for ids count the rows\n",
	} {
		require.NoError(t, os.WriteFile(cut, []byte(text), 0o644))
		code, _, stderr := sims("-workload", cut, "-times", times)
		require.Equal(t, 1, code)
		require.Equal(t, want, stderr)
	}
}

// The whole command, on its own and on an artifact's trace.
func TestSim(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-scheduler", "cfs,fifo,alps", "-cores", "4", "-n", "300", "-out", filepath.Join(dir, "out")}
	code, stdout, stderr := sims(args...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "huawei, 300 invocations, 4 cores, load 0.9, seed 1;")
	for _, s := range []string{"cfs", "fifo", "alps"} {
		require.Contains(t, stdout, "\n"+s+" ")
		r, err := results.Read(filepath.Join(dir, "out", s))
		require.NoError(t, err)
		require.True(t, r.Run.Valid)
		require.Len(t, r.Invocations, 300)
		require.NotEmpty(t, r.Slices)
		require.InDelta(t, 0.9, r.Run.LoadAchieved, 0.02)
	}
	_, again, _ := sims(args...)
	require.Equal(t, stdout, again)
	_, other, _ := sims(append(args, "-seed", "2")...)
	require.NotEqual(t, stdout, other)

	// Overload is said, and what became of it is there to read.
	code, stdout, stderr = sims("-load", "2", "-drain", "1ms", "-cores", "2", "-n", "200", "-scheduler", "cfs", "-out", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "\ncfs ")
	require.Regexp(t, `cfs: not valid: \d+ of 200 invocations had not ended after \S+ of simulated time: the load does not drain\n$`, stderr)
	r, err := results.Read(filepath.Join(dir, "cfs"))
	require.NoError(t, err)
	require.False(t, r.Run.Valid)
	require.Positive(t, r.Run.Sim.Unfinished)

	exp, times := filepath.Join(dir, "my.exp"), filepath.Join(dir, "times.yaml")
	require.NoError(t, os.WriteFile(exp, []byte("1 28 fib 20 5006\n2 31 fib 26 5018\n"), 0o644))
	require.NoError(t, os.WriteFile(times, []byte("times: [{function: fib, n: 28, cpu: 100ms}, {function: fib, n: 31, cpu: 215ms}]\n"), 0o644))
	code, stdout, stderr = sims("-workload", exp, "-times", times, "-scheduler", "fifo", "-n", "100", "-json")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `"group": "G3"`)
	require.NotContains(t, stdout, `"group": "G1"`)
}

// Whatever flags a scheduler has change what it does, and parameters are in its result.
func TestSimFlagsReachTheirSchedulers(t *testing.T) {
	for _, c := range []struct{ scheduler, flags string }{
		{"scx", "-octave 1ms -floor 30s"}, {"scx", "-memory 2 -pool-memory 2"}, {"steady", "-octave 1ms -floor 30s"}, {"alps", "-order off"},
		{"ghost-alps", "-step 1us"}, {"alps", "-beta 0 -slice-cap 1ms"}, {"sfs", "-gaps 100"}, {"sfs", "-order off"}, {"cfs", "-seed 2"},
	} {
		dir := t.TempDir()
		args := []string{"-scheduler", c.scheduler, "-cores", "2", "-n", "200", "-load", "1", "-out", dir}
		_, plain, _ := sims(args...)
		before, err := results.Read(filepath.Join(dir, c.scheduler))
		require.NoError(t, err)
		code, changed, stderr := sims(append(args, strings.Fields(c.flags)...)...)
		require.Zero(t, code, stderr)
		require.NotEqual(t, plain, changed, "%s %s", c.scheduler, c.flags)
		after, err := results.Read(filepath.Join(dir, c.scheduler))
		require.NoError(t, err)
		if c.flags != "-seed 2" && c.scheduler != "sfs" {
			require.NotEqual(t, before.Run.Parameters, after.Run.Parameters, "%s %s", c.scheduler, c.flags)
		}
	}
}

// README says how much is simulated without flags.
func TestTheReadmeNamesTheDefaults(t *testing.T) {
	_, _, usage := sims("-h")
	require.Contains(t, usage, "n invocations (default 15000)")
	require.Contains(t, usage, "24 of paper")
	pagetest.Says(t, "README.md", "15,000 invocations on 24 cores")
}
