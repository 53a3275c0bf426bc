// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
)

// Whatever makes the numbers doubtful is said beside them.
func TestNotes(t *testing.T) {
	const twice = 200 * time.Millisecond
	for name, c := range map[string]struct {
		functions []fakeFunction
		at        map[time.Duration]func(*fakeHost)
		notes     []string
	}{
		"lost": {at: map[time.Duration]func(*fakeHost){30 * time.Second: func(h *fakeHost) { h.status.Lost = client.Lost{Invocations: 3, Stream: 1} }},
			notes: []string{"period 2 (steady): the daemon lost 3 invocations, 0 records of threads and 1 event for readers that were too slow: they are missing in the numbers"}},
		"not steered": {at: map[time.Duration]func(*fakeHost){
			0: func(h *fakeHost) {
				h.functions[1].Steered, h.functions[1].Why = false, "its cgroup has no CPU controller"
			},
			70 * time.Second: func(h *fakeHost) { h.functions[0].Steered, h.functions[0].Why = false, "its cgroup was removed" }},
			notes: []string{"not steered under steady: 2 b: its cgroup has no CPU controller", "not steered under steady: 1 a in 2 of 4 periods: its cgroup was removed"}},
		"came and went": {at: map[time.Duration]func(*fakeHost){
			30 * time.Second: func(h *fakeHost) { h.functions = append(h.functions, function("3", "c", ms100, ms100)) },
			50 * time.Second: func(h *fakeHost) { h.functions = h.functions[:2] }},
			notes: []string{"functions came during the trial: 3 c in period 2", "functions went during the trial: 3 c in period 3"}},
		"busy": {functions: []fakeFunction{{FunctionStatus: client.FunctionStatus{Function: client.Function{UID: "9"}, Steered: true}, busy: true,
			turnaround: map[string]time.Duration{"cfs": ms100, "steady": ms100}}},
			notes: []string{"1200 of the 1200 invocations are busy periods of servers: requests that overlap are one (docs/observer.md)"}},
		"changed its source": {at: map[time.Duration]func(*fakeHost){100 * time.Second: func(h *fakeHost) { h.functions[1].busy = true }},
			notes: []string{"busy periods of servers", "only some invocations are busy periods, the others processes, so they do not compare: give these functions a source of their own: 2 b ("}},
		"long": {functions: []fakeFunction{function("4", "slow", time.Second, 2*time.Second)},
			notes: []string{"under cfs the turnarounds are longer than shown, for invocations that ended after their period do not count: take a longer -each: all functions ("}},
		"load": {functions: []fakeFunction{function("1", "a", ms100, ms100)},
			at: map[time.Duration]func(*fakeHost){
				20 * time.Second:  func(h *fakeHost) { h.functions = append(h.functions, h.functions[0]) },
				60 * time.Second:  func(h *fakeHost) { h.functions = h.functions[:1] },
				100 * time.Second: func(h *fakeHost) { h.functions = append(h.functions, h.functions[0]) },
				140 * time.Second: func(h *fakeHost) { h.functions = h.functions[:1] }},
			notes: []string{"the load differed: invocations per second under steady against cfs +", "the load differed: CPU time of invocations per second under steady against cfs +"}},
		"problem": {at: map[time.Duration]func(*fakeHost){30 * time.Second: func(h *fakeHost) {
			h.status.Problems = []client.Problem{{What: client.NoInvocation, Why: "it forks nothing", Functions: []string{"2"}}}
		}}, notes: []string{"the daemon had a problem: no invocation (functions 2): it forks nothing"}},
		"many functions": {functions: []fakeFunction{function("1", "a", ms100, twice), function("2", "b", ms100, twice), function("3", "c", ms100, twice),
			function("4", "d", ms100, twice), function("5", "e", ms100, twice)},
			notes: []string{"of 5 verdicts on functions, about 1 say better or worse by chance where nothing differs: an interval holds in 19 cases of 20"}},
		"idle": {functions: []fakeFunction{{FunctionStatus: client.FunctionStatus{Function: client.Function{UID: "9"}, Steered: true}, idle: true,
			turnaround: map[string]time.Duration{"cfs": ms100, "steady": ms100}}},
			notes: []string{"under both policies invocations hardly wait for a CPU"}},
		"none": {functions: []fakeFunction{}, notes: []string{"no invocation was reported in the time that counts"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.functions == nil {
				c.functions = []fakeFunction{function("1", "a", ms100, ms100), function("2", "b", ms100, ms100)}
			}
			h := newHost(t, c.functions...)
			for at, f := range c.at {
				h.events[at] = func() { h.change(func() { f(h) }) }
			}
			report, err := h.trial().Run(t.Context())
			require.NoError(t, err)
			for _, want := range c.notes {
				require.Contains(t, strings.Join(report.Notes, "\n"), want)
			}
			if name != "long" && name != "many functions" { // whose other note is of invocations at the ends of periods
				require.Len(t, report.Notes, len(c.notes), "%q", report.Notes)
			}
		})
	}
}

func TestSome(t *testing.T) {
	require.Equal(t, "a, b", some([]string{"a", "b"}))
	require.Equal(t, "1, 2, 3, 4, 5, 6, 7, 8 and 2 more", some(strings.Split("1 2 3 4 5 6 7 8 9 10", " ")))
}
