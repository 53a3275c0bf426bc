// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/golden"
	"github.com/ds2-lab/alps/internal/progress"
)

const ms100 = 100 * time.Millisecond

// The verdict on each function is what its turnarounds are, and the daemon has the mode of
// before at the end.
func TestTrial(t *testing.T) {
	h := newHost(t, function("1", "thumbnail", ms100, 60*time.Millisecond), function("2", "resize", ms100, ms100), function("3", "train", ms100, 115*time.Millisecond))
	trial := h.trial()
	var stderr bytes.Buffer
	trial.Progress = progress.New(&stderr)
	report, err := trial.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"steady", "cfs", "steady", "steady", "cfs", "cfs", "steady", "steady", "cfs", "steady"}, h.policies())
	for _, m := range h.modes {
		if m.Policy == client.PolicySteady {
			require.Equal(t, steady(), m, "with the parameters that the daemon had")
		}
	}
	require.Equal(t, steady(), h.status.Mode)
	require.Equal(t, 4, report.Counted)
	verdicts := map[string]Verdict{}
	for _, g := range report.Functions {
		verdicts[g.Name] = g.Mean.Verdict
		require.Equal(t, TooFewP99, g.P99.Verdict, "150 invocations in a period are too few")
		require.InDelta(t, 600, g.A.Invocations, 12, "15 s of each period count, and ten a second arrive")
		require.Equal(t, 10*time.Millisecond, g.B.MeanCPUNS)
	}
	require.Equal(t, map[string]Verdict{"thumbnail": Better, "resize": None, "train": Worse}, verdicts)
	require.Equal(t, "train", report.Functions[0].Name)
	require.InDelta(t, 15, report.Functions[0].Mean.Percent, 5)
	require.Equal(t, 4, report.All.P99.Rounds)
	require.Equal(t, Better, report.All.Mean.Verdict)
	require.Empty(t, report.Notes)
	var out bytes.Buffer
	require.NoError(t, report.Print(&out))
	golden.Check(t, "report.txt", out.String())
	require.Contains(t, stderr.String(), "takes 2m40s: the daemon goes to and fro between cfs and steady, and back to steady at the end")
	require.Contains(t, stderr.String(), "\n3/8 round 2: steady\n")
	require.True(t, strings.HasSuffix(stderr.String(), "the daemon has the mode of before again: steady\n"), stderr.String())
}

// What cannot be compared is refused before the daemon is switched.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status func(*client.Status)
		a, b   string
		why    string
	}{
		"observe": {func(s *client.Status) { s.Backend, s.BackendWhy = "observe", "this kernel has no hooks" }, "cfs", "steady",
			"the daemon steers nothing on this kernel, so there is nothing to compare: this kernel has no hooks"},
		"no ranks":  {func(s *client.Status) { s.Mode = client.Mode{Policy: "manual"} }, "cfs", "manual", "the policy manual has no ranks yet"},
		"no manual": {func(*client.Status) {}, "cfs", "manual", "and the daemon's policy is steady: switch first by alps mode -policy manual"},
		"same":      {func(*client.Status) {}, "cfs", "cfs", "-a and -b are both cfs: there is nothing to compare"},
	} {
		h := newHost(t)
		c.status(&h.status)
		trial := h.trial()
		trial.Config.A, trial.Config.B = c.a, c.b
		report, err := trial.Run(t.Context())
		require.ErrorContains(t, err, c.why, name)
		require.Nil(t, report, name)
		require.Empty(t, h.modes, name)
	}
	trial := newHost(t).trial()
	trial.Daemon = client.New(t.TempDir() + "/none")
	_, err := trial.Run(t.Context())
	require.ErrorContains(t, err, "is the daemon running? start it with: alps run")
}

func TestConfigCheck(t *testing.T) {
	good := Config{A: "cfs", B: "alps", Rounds: 2, Each: 10 * time.Second, Settle: 5 * time.Second}
	require.NoError(t, good.Check())
	require.Equal(t, 40*time.Second, good.Takes())
	for why, change := range map[string]func(*Config){
		"-a=fifo: allowed: steady, alps, sfs, manual, cfs":                                             func(c *Config) { c.A = "fifo" },
		"-a and -b are both alps: there is nothing to compare":                                         func(c *Config) { c.A = "alps" },
		"-rounds=1: want 2 to 1000: one round says nothing of how much rounds differ by chance":        func(c *Config) { c.Rounds = 1 },
		"-settle=-1s: it is below 0":                                                                   func(c *Config) { c.Settle = -time.Second },
		"-each=9s: want 1s or more, and at least twice -settle=5s, so that half of a period counts":    func(c *Config) { c.Each = 9 * time.Second },
		"-each=500ms: want 1s or more, and at least twice -settle=0s, so that half of a period counts": func(c *Config) { c.Each, c.Settle = 500*time.Millisecond, 0 },
	} {
		c := good
		change(&c)
		require.EqualError(t, c.Check(), why)
	}
}

// A mode that the backend cannot carry out is refused before any period.
func TestAModeThatIsRefused(t *testing.T) {
	h := newHost(t)
	h.refuse = func(m client.Mode) string {
		return map[string]string{"sfs": "policy sfs: not by sched_ext"}[m.Policy]
	}
	trial := h.trial()
	trial.Config.B = "sfs"
	report, err := trial.Run(t.Context())
	require.EqualError(t, err, "-b=sfs: daemon: PUT /mode: policy sfs: not by sched_ext")
	require.Nil(t, report)
	require.Equal(t, steady(), h.status.Mode)
}

// An interrupted trial has the rounds that it came to, and the daemon the mode of before.
func TestInterrupted(t *testing.T) {
	h := newHost(t, function("1", "gains", ms100, 50*time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	h.events[90*time.Second] = cancel // in the first period of the third round, of cfs
	report, err := h.trial().Run(ctx)
	require.EqualError(t, err, "the trial was interrupted")
	require.Equal(t, steady(), h.status.Mode)
	require.Equal(t, "steady", h.modes[len(h.modes)-1].Policy)
	require.Equal(t, 2, report.Counted)
	require.Equal(t, Better, report.All.Mean.Verdict)
	require.Len(t, report.Periods, 5)
	require.Equal(t, "it did not come to its end", report.Periods[4].LeftOut)
	require.Equal(t, "the trial was interrupted", report.Ended)
	// Before anything is known, the report says that, and is valid JSON.
	ctx, cancel = context.WithCancel(t.Context())
	h = newHost(t)
	h.events[time.Second] = cancel
	report, err = h.trial().Run(ctx)
	require.Error(t, err)
	_, err = json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, report.Notes, "0 rounds counted: a verdict needs 2, each with a period of both modes that counts")
	require.Equal(t, steady(), h.status.Mode)
}

// A period in which the daemon did not do what was asked is not counted, nor is its round;
// the others are.
func TestPeriodsThatDoNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		at   time.Duration // of the trial, whose periods are of 20 s: cfs, steady, steady, cfs and so on
		what func(*fakeHost)
		left string
	}{
		"another policy": {30 * time.Second, func(h *fakeHost) { h.change(func() { h.status.Mode.Policy = "sfs" }) }, "somebody else switched the daemon to sfs"},
		"parameters":     {30 * time.Second, func(h *fakeHost) { h.change(func() { h.status.Mode, _ = defaultMode("steady") }) }, "somebody else changed the parameters of steady"},
		"started anew": {30 * time.Second, func(h *fakeHost) {
			h.server.Close()
			h.change(func() {
				h.status.Conditions, h.status.Mode = map[string]string{"daemon": "process 2"}, client.Mode{Policy: "cfs"}
			})
			h.serve()
		}, "the daemon was started anew (process 1, then process 2)"},
		"hooks off": {30 * time.Second, func(h *fakeHost) {
			h.change(func() {
				h.status.Problems = []client.Problem{{What: client.HooksOff, Why: "kernel.sched_alps is 0", BeganNS: 3, EndedNS: uint64(h.now)}}
			})
		}, "steady did not decide: hooks off: kernel.sched_alps is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, function("1", "gains", ms100, 50*time.Millisecond))
			h.events[c.at] = func() { c.what(h) }
			report, err := h.trial().Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, 3, report.Counted)
			for i, p := range report.Periods {
				if i == 1 {
					require.Equal(t, c.left, p.LeftOut)
				} else {
					require.Empty(t, p.LeftOut)
				}
			}
			require.Equal(t, 3, report.All.Mean.Rounds)
			require.InDelta(t, 450, report.All.A.Invocations, 12)
			require.Equal(t, Better, report.All.Mean.Verdict)
			require.Equal(t, steady(), h.status.Mode)
			if name == "started anew" {
				require.Contains(t, report.Notes, "the stream of invocations broke and was taken up again; what the daemon no longer had then is missing")
			}
		})
	}
	// Problems under cfs, which nobody carries out, are no reason.
	require.Empty(t, leftOut(setting{mode: client.Mode{Policy: "cfs"}}, client.Status{Mode: client.Mode{Policy: "cfs"}},
		client.Status{Mode: client.Mode{Policy: "cfs"}, Problems: []client.Problem{{What: client.HooksOff}}}, 0))
	// Nor are those that were over before the period counted.
	require.Empty(t, leftOut(setting{mode: steady()}, client.Status{Mode: steady()},
		client.Status{Mode: steady(), Problems: []client.Problem{{What: client.HooksOff, EndedNS: 4}}}, 5))
}

// A daemon that ends and does not come back ends the trial, which says what is known and
// what gives the daemon its mode.
func TestTheDaemonEnds(t *testing.T) {
	h := newHost(t, function("1", "gains", ms100, 50*time.Millisecond))
	h.events[90*time.Second] = func() {
		h.server.Close()
		h.change(func() { h.down = true })
	}
	trial := h.trial()
	trial.Socket = h.socket
	report, err := trial.Run(t.Context())
	require.ErrorContains(t, err, "round 3 of 4, cfs: no daemon answered for 30s: ")
	require.Equal(t, 2, report.Counted)
	require.Contains(t, report.Ended, "no daemon answered")
	_, command, ok := strings.Cut(err.Error(), "this gives it that: ")
	require.True(t, ok, err)
	_, body, _ := strings.Cut(command, " -d ")
	var m client.Mode
	require.NoError(t, json.Unmarshal([]byte(strings.Trim(body, "'")), &m))
	require.Equal(t, steady(), m)
	require.Contains(t, command, "sudo curl --fail-with-body --unix-socket '"+h.socket+"' -X PUT http://alps/mode -d ")
}

// A daemon that refuses its former mode, or has another one in spite of it, is told of.
func TestTheModeIsNotRestored(t *testing.T) {
	h := newHost(t)
	h.status.Mode, _ = defaultMode("cfs")
	trial := h.trial()
	asked := 0
	h.refuse = func(m client.Mode) string {
		if asked++; asked > 1+8 {
			return "busy"
		}
		return ""
	}
	_, err := trial.Run(t.Context())
	require.EqualError(t, err, "the daemon does not have the mode of before the trial: daemon: PUT /mode: busy; this gives it that: sudo alps mode -policy=cfs")
}

// The ranks of manual are a part of the mode of before.
func TestRanksAreRestored(t *testing.T) {
	h := newHost(t, function("1", "a", ms100, ms100), function("2", "b", ms100, ms100))
	h.status.Mode = client.Mode{Policy: "manual"}
	h.status.Decisions = []policy.Decision{{UID: "1", Rank: 2, Slice: 5 * time.Millisecond}, {UID: "gone", Rank: 1}}
	trial := h.trial()
	trial.Config.Rounds = 2
	_, err := trial.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, "manual", h.status.Mode.Policy)
	require.Equal(t, []client.Rule{{UID: "1", Rank: 2, Slice: 5 * time.Millisecond}}, h.rules)
	r := running{Trial: trial}
	require.Equal(t, "sudo alps mode -policy=manual && sudo alps policy -set='it'\\''s=2/5ms'",
		r.command(setting{mode: client.Mode{Policy: "manual", Order: "bounded", Step: "1s"}, rules: []client.Rule{{UID: "it's", Rank: 2, Slice: 5 * time.Millisecond}}}))
}
