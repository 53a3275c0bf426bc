// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/cmd/policyflags"
	"github.com/ds2-lab/alps/alps/daemon"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/cli"
	"github.com/ds2-lab/alps/internal/golden"
)

// TestPolicyGoldens runs `alps srpt` and `alps learn` on a window of eighty
// invocations in testdata.
func TestPolicyGoldens(t *testing.T) {
	input, err := os.ReadFile("testdata/window.csv")
	require.NoError(t, err)
	for name, args := range map[string]string{
		"srpt.csv":             "srpt",
		"srpt-granularity.csv": "srpt -granularity 8ms",
		"srpt-cores.csv":       "srpt -granularity 8ms -cores 2",
		"learn.csv":            "learn",
		"learn-load.csv":       "learn -learner avg -alpha 2 -beta 1 -gamma 1 -theta 50 -load 85",
		"learn-lr.csv":         "learn -learner lr",
		"learn-rf.csv":         "learn -learner rf",
		"learn-ewma.csv":       "learn -learner ewma",
		"learn-untuned.csv":    "learn -unpred=false -overload=false -load 85",
		"learn-cores.csv":      "learn -cores 2",
		"learn-global.csv":     "learn -cores 2 -share global",
		"learn-artifact.csv":   "learn -like artifact -load 85",
		"learn-steady.csv":     "learn -like=steady",
		"learn-steady-1.csv":   "learn -prior 0 -like=steady -memory 1000",
		"learn-like-wait.csv":  "learn -rank-by wait -like artifact -load 85 -monotone=false",
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runPolicy(args, string(input))
			require.Zero(t, code, stderr)
			require.Empty(t, stderr)
			golden.Check(t, name, stdout)
		})
	}
}

func runPolicy(args, stdin string) (code int, stdout, stderr string) {
	words := strings.Fields(args)
	command := map[string]func([]string, *strings.Reader, *bytes.Buffer, *bytes.Buffer) int{
		"srpt": func(a []string, in *strings.Reader, out, err *bytes.Buffer) int { return runSRPT(a, in, out, err) },
		"learn": func(a []string, in *strings.Reader, out, err *bytes.Buffer) int {
			return runLearn(a, in, out, err)
		},
	}[words[0]]
	var out, err bytes.Buffer
	code = command(words[1:], strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

func TestPolicyCommandsRefuse(t *testing.T) {
	good := "1,fib,0,5\n"
	for _, c := range []struct {
		args, stdin string
		code        int
		stderr      string
	}{
		{"srpt", "1,fib,0,5\n2,fib,x,5\n", 1, "stdin:2:7: arrive_ms: \"x\" is not a number of milliseconds such as 12 or 12.345678\n"},
		{"learn", "1,fib,0\n", 1, "stdin:1:7: 3 of 4 fields; burst_ms is missing\n"},
		{"learn", "", 1, "stdin:1:1: no rows; want a line of id,function,arrive_ms,burst_ms for each invocation\n"},
		{"srpt -cores 0", good, 2, "alps srpt: cores: 0 is outside [1, 4096] (-h lists the flags)\n"},
		{"srpt -granularity -1ms", good, 2, "alps srpt: granularity: -1ms is outside [0s, 24h] (-h lists the flags)\n"},
		{"srpt records.csv", good, 2, "alps srpt: unexpected argument \"records.csv\" (-h lists the flags)\n"},
		{"learn -cores 5000", good, 2, "alps learn: cores: 5000 is outside [1, 4096] (-h lists the flags)\n"},
		{"learn -alpha 0 -theta 101", good, 2, "alps learn: policy: alpha: 0 is outside (0, 1000]\npolicy: theta: 101 is outside [0, 100] (-h lists the flags)\n"},
		{"learn -like=steady -prior -1", good, 2, "alps learn: steady: prior: -1 is outside [0, 1000] (-h lists the flags)\n"},
		{"learn -like=steady -alpha 3", good, 2, "alps learn: -alpha: not with -like=steady (-h lists the flags)\n"},
		{"learn -like=steady -load 50 -cores 2", good, 2, "alps learn: -cores: not with -like=steady\n-load: not with -like=steady (-h lists the flags)\n"},
		{"learn -memory 3", good, 2, "alps learn: -memory: only with -like=steady (-h lists the flags)\n"},
		{"learn -gamma NaN", good, 2, "alps learn: policy: gamma: NaN is outside (0, 1000] (-h lists the flags)\n"},
	} {
		code, stdout, stderr := runPolicy(c.args, c.stdin)
		require.Equal(t, c.code, code, c.args)
		require.Empty(t, stdout, c.args)
		require.Equal(t, c.stderr, stderr, c.args)
	}
	for args, says := range map[string]string{
		"learn -learner mean":  `invalid value "mean" for flag -learner: learner: "mean" is none of avg, lr, rf, `,
		"learn -like mine":     `invalid value "mine" for flag -like: like: "mine" is none of paper, artifact`,
		"learn -load 101":      `invalid value "101" for flag -load: "101" is outside [0, 100]`,
		"learn -window 5s":     `flag provided but not defined: -window`,
		"srpt -granularity 8":  `invalid value "8" for flag -granularity`,
		"learn -share halves":  `share: "halves" is none of deal, sample, global`,
		"learn -rank-by speed": `rank_by: "speed" is none of wait, slice`,
	} {
		code, stdout, stderr := runPolicy(args, good)
		require.Equal(t, 2, code, args)
		require.Empty(t, stdout, args)
		require.Contains(t, stderr, says, args)
	}
}

func TestLearnSaysWhatItLeavesOut(t *testing.T) {
	code, stdout, stderr := runPolicy("learn", "1,fib,0,5\n2,fib,1,0\n")
	require.Zero(t, code)
	require.Equal(t, "function,rank,slice_ms,mean_ms,stdev_ms,n\nfib,1,10,5,0,1\n", stdout)
	require.Equal(t, "stdin: 1 rows without CPU time are left out\n", stderr)
}

// Without a word the policy is steady; a flag that is not for the policy that is
// wanted is refused, not ignored.
func TestModeFlags(t *testing.T) {
	mode := func(args ...string) (client.Mode, bool, error) {
		var stderr bytes.Buffer
		fs := cli.NewFlags("test", &stderr, "", "")
		read := policyflags.NewMode(fs)
		require.NoError(t, fs.Parse(args), stderr.String())
		return read(daemon.DefaultPolicy)
	}
	paper, artifact := policy.Paper(), policy.Artifact()
	steady, changed := policy.DefaultSteady(), policy.DefaultSteady()
	changed.Memory, changed.GuardWait = 9, time.Second
	alps := func(name, order, step string, p policy.Params) client.Mode {
		return client.Mode{Policy: name, Order: order, Step: step, Params: &p}
	}
	for args, want := range map[string]client.Mode{
		"":                                      {Policy: "steady", Steady: &steady},
		"-policy steady":                        {Policy: "steady", Steady: &steady},
		"-like=steady -memory 9 -guard-wait 1s": {Policy: "steady", Steady: &changed},
		"-full-slices":                          {Policy: "steady", Steady: &steady, FullSlices: true},
		"-policy alps":                          alps("alps", "bounded", "1s", paper),
		"-like paper":                           alps("alps", "bounded", "1s", paper),
		"-like artifact -order fifo":            alps("alps", "fifo", "1s", artifact),
		"-policy manual -step 2s":               alps("manual", "bounded", "2s", paper),
		"-policy cfs":                           alps("cfs", "bounded", "1s", paper),
		"-policy sfs":                           alps("sfs", "bounded", "1s", paper),
	} {
		got, chosen, err := mode(strings.Fields(args)...)
		require.NoError(t, err, args)
		require.Equal(t, want, got, args)
		require.Equal(t, strings.Contains(args, "-policy") || strings.Contains(args, "-like"), chosen, args)
	}
	for args, why := range map[string]string{
		"-alpha 3":                      "-alpha: not with -policy steady",
		"-step 3s":                      "-step: not with -policy steady",
		"-policy alps -memory 3":        "-memory: only with -policy steady",
		"-policy cfs -steady-period 2s": "-steady-period: only with -policy steady",
		"-policy cfs -window 9s":        "-window: not with -policy cfs",
		"-policy cfs -order fifo":       "-order: not with -policy cfs",
		"-policy sfs -step 2s":          "-step: not with -policy sfs",
		"-policy steady -like artifact": "-like=artifact: not with -policy steady",
		"-policy alps -like steady":     "-like=steady: not with -policy alps",
		"-memory 1":                     "memory: 1 is outside [2, 1e+06]",
	} {
		_, _, err := mode(strings.Fields(args)...)
		require.ErrorContains(t, err, why, args)
	}
}

// A daemon that is told no policy may do without one: where the kernel cannot be steered it
// observes. One that is told a policy may not, and alps-ghost needs one.
func TestDaemonMode(t *testing.T) {
	steady, longer := policy.DefaultSteady(), policy.DefaultSteady()
	longer.Octave = 5 * time.Second
	paper := policy.Paper()
	for args, want := range map[string]struct {
		mode      client.Mode
		byDefault string
	}{
		"":                       {client.Mode{Steady: &steady}, "steady"},
		"-full-slices":           {client.Mode{Steady: &steady, FullSlices: true}, "steady"},
		"-octave 5s":             {client.Mode{Steady: &longer}, "steady"},
		"-policy steady":         {client.Mode{Policy: "steady", Steady: &steady}, ""},
		"-like steady":           {client.Mode{Policy: "steady", Steady: &steady}, ""},
		"-policy alps":           {client.Mode{Policy: "alps", Order: "bounded", Step: "1s", Params: &paper}, ""},
		"-delegated":             {client.Mode{Policy: "alps", Order: "bounded", Step: "1s", Params: &paper}, "alps"},
		"-delegated -policy sfs": {client.Mode{Policy: "sfs", Order: "bounded", Step: "1s", Params: &paper}, ""},
	} {
		var stderr bytes.Buffer
		fs := cli.NewFlags("test", &stderr, "", "")
		mode := policyflags.NewMode(fs)
		delegated := fs.Bool("delegated", false, "")
		require.NoError(t, fs.Parse(strings.Fields(args)), stderr.String())
		m, byDefault, err := daemonMode(mode, *delegated)
		require.NoError(t, err, args)
		require.Equal(t, want.mode, m, args)
		require.Equal(t, want.byDefault, byDefault, args)
	}
}

// A preset holds except where a flag was given, wherever -like stands.
func TestParamFlags(t *testing.T) {
	parsed := func(args ...string) policy.Params {
		var stderr bytes.Buffer
		fs := cli.NewFlags("test", &stderr, "", "")
		flags := policyflags.NewALPS(fs, true, false)
		require.NoError(t, fs.Parse(args), stderr.String())
		p, err := flags.Params()
		require.NoError(t, err)
		return p
	}
	require.Equal(t, policy.Paper(), parsed())
	require.Equal(t, policy.Artifact(), parsed("-like=artifact"))
	want := policy.Artifact()
	want.Alpha, want.Window, want.Learner, want.Monotone = 2, 5e9, policy.EWMA, false
	require.Equal(t, want, parsed("-alpha=2", "-window=5s", "-learner=ewma", "-monotone=false", "-like=artifact"))
	// Every parameter has its flag.
	got := parsed("-alpha=3", "-beta=3", "-gamma=3", "-theta=3", "-unpred=false", "-overload=false", "-learner=rf", "-ewma-weight=0.3",
		"-window=3s", "-period=3s", "-records=3", "-share=global", "-granularity=3s", "-seed=3", "-remember=false", "-rank-by=slice",
		"-mean-burst", "-burst-factor=3", "-slice-cap=3s", "-monotone", "-smoothing=0.3")
	require.Equal(t, policy.Params{
		Alpha: 3, Beta: 3, Gamma: 3, Theta: 3, Learner: policy.RandomForest, EWMAWeight: 0.3, Window: 3e9, Period: 3e9, Records: 3,
		Share: policy.ShareGlobal, Granularity: 3e9, Seed: 3, RankBy: policy.BySlice, MeanBurst: true, BurstFactor: 3, SliceCap: 3e9,
		Monotone: true, Smoothing: 0.3,
	}, got)
}
