// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/cost"
	"github.com/ds2-lab/alps/bpf"
)

func TestCostRows(t *testing.T) {
	native, err := parseHooks(`cpu: a processor
BenchmarkHooks/order/function-2         	       6	 192324084 ns/op	        30.00 ns/call
BenchmarkHooks/order/entry-2            	       5	 209343734 ns/op	        29.50 ns/call
BenchmarkHooks/slice/function           	       5	 209343734 ns/op	        20.00 ns/call
BenchmarkHooks/slice/entry              	       6	 174048272 ns/op	        10.00 ns/call
PASS
`)
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"order/function": 30, "order/entry": 29.5, "slice/function": 20, "slice/entry": 10}, native)

	hook := func(name string, calls uint64, each time.Duration) bpf.Program {
		return bpf.Program{Name: name, Hook: name != "observer", Calls: calls, Runtime: time.Duration(calls) * each}
	}
	var phases []cost.Phase
	for i := range 5 {
		phases = append(phases, cost.Phase{Switches: cost.Switches{Switch: time.Duration(1000 + i), Count: 100},
			Programs: []bpf.Program{hook("order hook", 100, 200), hook("slice hook", 200, 50), hook("observer", 100, 9)}})
	}
	plain := [2]cost.Switches{{Syscall: 300, Switch: 900}, {Syscall: 310, Switch: 990}}
	table, err := costRows("instructions", plain, phases, native)
	require.NoError(t, err)
	got := map[[2]string]string{}
	for _, r := range table.Rows {
		got[[2]string{r[0], r[1]}] = r[2]
	}
	require.Len(t, got, len(table.Rows), "every cell once")
	for at, want := range map[[2]string]string{
		{"system call", "instructions in the guest"}:                           "310",
		{"context switch, stock kernel", "instructions in the guest"}:          "900",
		{"context switch, hooks asked, entry", "instructions in the guest"}:    "1002",
		{"slice hook, entry", "calls per switch"}:                              "2",
		{"both hooks, per decision under steady", "instructions in the guest"}: "300",
		{"context switch, steady, and observed", "instructions in the guest"}:  "1004",
		{"order hook, no entry", "ns on this host"}:                            "30",
		{"both hooks, per decision", "instructions in the guest"}:              "300",
		{"both hooks, per decision", "ns on this host"}:                        "49.5",
	} {
		require.Equal(t, want, got[at], at)
	}
	// Where BPF may not be loaded, nothing is said of it.
	table, err = costRows("ns", plain, phases, nil)
	require.NoError(t, err)
	for _, r := range table.Rows {
		require.NotEqual(t, onHost, r[1])
	}
	// What a renamed benchmark leaves out is not 0.
	delete(native, "slice/entry")
	_, err = costRows("instructions", plain, phases, native)
	require.ErrorContains(t, err, "nothing of the slice hook")
}
