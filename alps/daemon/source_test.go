// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/label"
)

// What a look at a function sees, and whether its source should be the other one.
func TestAccount(t *testing.T) {
	type look struct {
		cpu                time.Duration // since the look before
		processes, periods int
		forks              uint32 // in all
		change             bool
	}
	const busy, idle = sourceEvery, time.Millisecond
	for name, c := range map[string]struct {
		busy  bool
		looks []look
	}{
		"uses the CPU, forks nothing":            {false, []look{{cpu: busy}, {cpu: busy}, {cpu: busy}, {cpu: busy, change: true}}},
		"seldom uses it":                         {false, []look{{cpu: busy}, {cpu: busy}, {cpu: idle}, {cpu: busy}, {cpu: idle}, {cpu: busy, change: true}}},
		"forks now and then":                     {false, []look{{cpu: busy}, {cpu: busy}, {cpu: busy}, {cpu: busy, processes: 1}, {cpu: busy}, {cpu: busy}}},
		"idle":                                   {false, []look{{cpu: busy}, {cpu: idle}, {cpu: idle}, {cpu: idle}, {cpu: idle}, {cpu: idle}}},
		"busy periods, no process":               {true, []look{{forks: 9}, {periods: 5, forks: 9}, {periods: 5, forks: 9}}},
		"a process for every second busy period": {true, []look{{forks: 9}, {periods: 6, forks: 12, change: true}}},
		"counted anew":                           {true, []look{{forks: 9}, {periods: 5}, {periods: 5}}},
		"a process for few of them":              {true, []look{{forks: 9}, {periods: 6, forks: 11}}},
	} {
		t.Run(name, func(t *testing.T) {
			a, used := account{busy: c.busy}, time.Duration(0)
			for i, l := range c.looks {
				used += l.cpu
				a.processes, a.periods = l.processes, l.periods
				require.Equal(t, l.change, a.look(used, l.forks), "look %d", i)
			}
		})
	}
}

// A function with the source auto becomes busy when it uses the CPU and forks
// nothing, unless a long invocation is under way, and is one of processes again
// when it forks.
func TestSourceAuto(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	add(t, d, client.Function{UID: "a", ID: 1, Concurrency: 1, Idle: "2ms"}, client.Function{UID: "p", ID: 2, Source: client.SourceProcess},
		client.Function{UID: "t", ID: 3, Source: client.SourceBusy, Concurrency: 8})
	kernel := func(uid string) bpf.Function {
		for _, f := range k.functions {
			if f.UID == uid {
				return f
			}
		}
		return bpf.Function{}
	}
	require.Equal(t, bpf.SourceThreads, kernel("t").Source)
	used := 0
	look := func() {
		used += 1_000_000
		for _, uid := range []string{"a", "p", "t"} {
			write(t, d.host.Cgroups+"/alps.slice/"+uid+"/cpu.stat", fmt.Sprintf("usage_usec %d\n", used))
		}
		require.NoError(t, d.lookAtSources())
	}
	look()
	k.survey.Running = map[bpf.CgroupID]int{1: 1}
	for range silentLooks + 1 {
		look()
	}
	require.Equal(t, bpf.SourceProcess, kernel("a").Source, "a long one is under way")
	k.survey.Running[1], k.survey.Workers = 3, map[bpf.CgroupID]int{1: 2}
	look()
	require.Equal(t, bpf.SourceProcess, kernel("a").Source, "a long one is under way beside a server's workers")
	k.survey.Running[1] = 2
	look()
	require.Equal(t, bpf.Function{ID: 1, UID: "a", Cgroup: "/alps.slice/a", Source: bpf.SourceBusy, Idle: 2 * time.Millisecond, Note: `{"concurrency":1,"idle":"2ms"}`}, kernel("a"))
	require.Equal(t, bpf.SourceProcess, kernel("p").Source, "it says what it is")
	require.Equal(t, "busy", function(t, d.status(), "a").Counted)
	require.Contains(t, log.String(), "its busy periods count")

	look()
	for range 4 {
		d.event(bpf.Event{Cgroup: 1, Busy: true, CPU: time.Second})
	}
	k.forks = map[bpf.CgroupID]uint32{1: 4}
	look()
	require.Equal(t, bpf.SourceProcess, kernel("a").Source)
	require.Contains(t, log.String(), "its processes count")
}

// A source that the kernel refuses is not the function's, and is tried again.
func TestARefusedSourceIsTriedAgain(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	add(t, d, client.Function{UID: "a", ID: 1})
	used := 0
	look := func() error {
		used += 1_000_000
		write(t, d.host.Cgroups+"/alps.slice/a/cpu.stat", fmt.Sprintf("usage_usec %d\n", used))
		return d.lookAtSources()
	}
	for range silentLooks {
		require.NoError(t, look())
	}
	k.noSource = errors.New("no memory")
	for range 2 {
		require.ErrorIs(t, look(), k.noSource)
		require.Equal(t, "process", function(t, d.status(), "a").Counted)
		require.Equal(t, bpf.SourceProcess, k.functions[0].Source)
	}
	require.NotContains(t, log.String(), "its busy periods count")
	k.noSource = nil
	require.NoError(t, look())
	require.Equal(t, "busy", function(t, d.status(), "a").Counted)
	require.Equal(t, 1, strings.Count(log.String(), "its busy periods count"))
}

// The daemon's default is for those functions that say nothing.
func TestSourceDefault(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}, Source: client.SourceBusy})
	add(t, d, client.Function{UID: "a", ID: 1})
	require.Equal(t, bpf.SourceBusy, k.functions[0].Source)
	// The next daemon takes up what the kernel knows, where nothing is noted.
	require.Equal(t, client.Function{UID: "a", ID: 1, Source: client.SourceBusy, Concurrency: 2, Idle: "1ms"},
		resumedFunction(bpf.Function{UID: "a", ID: 1, Source: bpf.SourceThreads, Idle: time.Millisecond}))
}

// A daemon that resumes knows uid and name that were given last, and what was asked for, and
// changes nothing of what that came to.
func TestTheNextDaemonKnowsWhatWasAsked(t *testing.T) {
	c := Config{Mode: client.Mode{Policy: client.PolicyCFS}}
	d, k, _ := quiet(t, c)
	add(t, d, client.Function{UID: "pod1", ID: 1}, client.Function{UID: "b", ID: 2, Source: client.SourceBusy, Concurrency: 4, Idle: "5ms"},
		client.Function{UID: "c", ID: 3, Source: client.SourceAuto, Concurrency: 3}, client.Function{UID: "d", ID: 4, Source: client.SourceProcess})
	add(t, d, client.Function{UID: "resize", Name: "r", ID: 1})
	d.mu.Lock()
	d.accountOf(3).busy = true // as lookAtSources finds
	d.mu.Unlock()
	require.NoError(t, d.setFunctions(d.known()))
	before := k.functions
	next, err := newTestDaemon(t, c, k)
	require.NoError(t, err)
	require.Equal(t, d.known(), next.known())
	require.ElementsMatch(t, before, next.kernelFunctions(next.known()))
	require.Equal(t, bpf.SourceThreads, next.kernelFunctions(map[bpf.CgroupID]client.Function{3: next.known()[3]})[0].Source)
}

func TestLabels(t *testing.T) {
	f := labelled(map[string]string{label.UID: "7", label.Source: "busy", label.Concurrency: "4", label.Idle: "5ms"}, "/c", 9)
	require.Equal(t, client.Function{UID: "7", Cgroup: "/c", ID: 9, Source: "busy", Concurrency: 4, Idle: "5ms"}, f)
	require.NoError(t, checkFunction(f))
	for why, labels := range map[string]map[string]string{
		`source "fork": want process, busy or auto`: {label.Source: "fork"},
		"concurrency: want a number from 1":         {label.Concurrency: "many"},
		`idle "1": want a duration`:                 {label.Idle: "1"},
		"from 50µs to 10s":                          {label.Idle: "1m"},
		"its uid is empty":                          {label.UID: ""},
	} {
		all := map[string]string{label.UID: "7"}
		for k, v := range labels {
			all[k] = v
		}
		require.ErrorContains(t, checkFunction(labelled(all, "/c", 9)), why)
	}
	require.True(t, strings.HasPrefix(label.Source, "alps.function."))
}
