// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf/scx"
)

// The best that a kernel can have is chosen, and the reason names whatever keeps
// the better from being it.
func TestBackendIsChosenByWhatTheKernelHas(t *testing.T) {
	noHooks, noSchedExt, refused := errors.New("no hooks"), errors.New("no sched_ext"), errors.New("the verifier refuses it")
	takes := func() error { return nil }
	for _, c := range []struct {
		what, asked string
		kernel      kernelFacts
		name, why   string
	}{
		{"both", "", kernelFacts{load: takes}, NameHooks, "has the ALPS hooks"},
		{"both, and another scheduler", NameAuto, kernelFacts{inCharge: "scx_lavd", load: takes}, NameHooks, "has the ALPS hooks"},
		{"sched_ext", NameAuto, kernelFacts{hooks: noHooks, load: takes}, NameSchedExt, "no hooks; but it has sched_ext"},
		{"another scheduler", NameAuto, kernelFacts{hooks: noHooks, inCharge: "scx_lavd", load: takes}, NameObserve, "no hooks; the sched_ext scheduler scx_lavd is in charge: end it"},
		{"no object fits", NameAuto, kernelFacts{hooks: noHooks, schedExt: noSchedExt}, NameObserve, "no hooks; no sched_ext"},
		{"refused", NameAuto, kernelFacts{hooks: noHooks, load: func() error { return refused }}, NameObserve, "no hooks; the verifier refuses it"},
		{"hooks are asked for", NameHooks, kernelFacts{hooks: noHooks, load: takes}, NameObserve, "no hooks"},
		{"sched_ext is asked for", NameSchedExt, kernelFacts{load: takes}, NameSchedExt, "asked for"},
		{"sched_ext is asked for in vain", NameSchedExt, kernelFacts{load: func() error { return refused }}, NameObserve, "the verifier refuses it"},
	} {
		name, why, err := choose(c.asked, c.kernel)
		require.NoError(t, err, c.what)
		require.Equal(t, c.name, name, c.what)
		require.Contains(t, why, c.why, c.what)
	}
	_, _, err := choose("magic", kernelFacts{})
	require.ErrorContains(t, err, `"magic": allowed: auto, hooks, scx`)
}

// The scheduler of a daemon that was killed a moment ago is not somebody else's.
func TestWhatIsLeftOfAKilledDaemonGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		require.Empty(t, inCharge(func() string {
			if time.Since(begun) < time.Second {
				return scx.Name
			}
			return ""
		}))
		require.Equal(t, scx.Name, inCharge(func() string { return scx.Name }), "it does not go: it is another daemon's")
		require.Equal(t, "scx_lavd", inCharge(func() string { return "scx_lavd" }))
	})
}
