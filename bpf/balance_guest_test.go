// SPDX-License-Identifier: Apache-2.0

package bpf_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/cgrouptest"
)

// The order holds within a runqueue, and CFS moves tasks between runqueues by
// their weights, not by their ranks. So functions that come first need not get
// all CPUs while others wait: they have to get more, and no CPU may be idle.
func TestGuestOrderAcrossCPUs(t *testing.T) {
	b := load(t, bpf.Options{})
	t.Setenv("ALPS_CPU", "-1") // nobody is bound to a CPU
	p := cgrouptest.NewParent(t)
	cpus := runtime.NumCPU()
	var all []string
	policy := map[string]bpf.Entry{}
	group := func(name string, bias time.Duration) string {
		dir := p.Group(name)
		p.Hog(dir)
		policy[dir] = bpf.Entry{BiasUS: uint32(bias.Microseconds()), SliceUS: 100_000}
		all = append(all, dir)
		return dir
	}
	for i := range cpus {
		group("first"+strconv.Itoa(i), time.Millisecond)
		group("last"+strconv.Itoa(i), time.Hour/2)
	}
	sum := func(shares []float64) (first, last float64) {
		for i := range shares {
			if i%2 == 0 {
				first += shares[i]
			} else {
				last += shares[i]
			}
		}
		return first, last
	}
	time.Sleep(time.Second)
	plainFirst, _ := sum(cgrouptest.Shares(t, all, 2*time.Second))
	require.NoError(t, b.AttachHooks())
	rule(t, b, policy)
	time.Sleep(time.Second)
	before := usages(t, all)
	begun := time.Now()
	shares := cgrouptest.Shares(t, all, 4*time.Second)
	busy := float64(usages(t, all)-before) / float64(time.Since(begun)) / float64(cpus)
	rankedFirst, _ := sum(shares)
	t.Logf("%d CPUs, as many functions that come first and as many that come last: the first have %.3f of the CPU time under CFS, %.3f in order (1 if no last one ran while a first one waited); CPUs %.3f busy; shares %.3f",
		cpus, plainFirst, rankedFirst, busy, shares)
	require.InDelta(t, 0.5, plainFirst, 0.1)
	require.Greater(t, rankedFirst, 0.5)
	require.Greater(t, busy, 0.9)
}

func usages(t *testing.T, dirs []string) (sum time.Duration) {
	for _, dir := range dirs {
		sum += cgrouptest.Usage(t, dir)
	}
	return sum
}
