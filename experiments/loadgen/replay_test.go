// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/results"
	olclient "github.com/ds2-lab/alps/openlambda/client"
)

func TestTraceRoundTrip(t *testing.T) {
	want := []Request{{1, "fib", "3", "G1", 23, "5002", 14, 80, 0}, {2, "graphBfs", "8", "G1", 100, "5008", 100, 7, 12345}}
	var b strings.Builder
	require.NoError(t, WriteTrace(&b, want))
	got, err := ReadTrace("t", strings.NewReader(b.String()))
	require.NoError(t, err)
	require.Equal(t, want, got)
	for in, msg := range map[string]string{
		"":                                      "t:1: empty",
		"a,b,c,d,e,f,g,h,i\n":                   "t:1: header",
		Header + "\n1,fib,3,G1,23,5002,14,80\n": "t:2: ",
		Header + "\n1,fib,3,G1,23,5002,14,-80,0\n": `t:2: rounds: -80: allowed: 0 or more`,
	} {
		_, err := ReadTrace("t", strings.NewReader(in))
		require.ErrorContains(t, err, msg)
	}
}

func TestJoin(t *testing.T) {
	reqs := []Request{
		{ID: 1, UID: "3", Group: "G1", Due: 0},
		{ID: 2, UID: "3", Group: "G1", Due: 100},
		{ID: 3, UID: "8", Group: "G1", Due: 200},
		{ID: 4, UID: "8", Group: "G1", Due: 300},
		{ID: 5, UID: "8", Group: "G1", Due: 400},
	}
	const start = 1000
	sent := []int64{1001, 1110, 1200, 1300, 0}
	replies := []olclient.Reply{{PID: 40}, {PID: 40}, {PID: 41}, {}, {}}
	errs := []error{nil, nil, nil, errors.New("502"), nil}
	seen := newObserved()
	for _, e := range []alpsclient.Event{
		{UID: "3", NSPID: 40, ArriveNS: 900, EndNS: 950, CPUNS: 1}, // of a run before: the pid came again
		{UID: "3", NSPID: 40, ArriveNS: 1005, EndNS: 1050, CPUNS: 30, WaitNS: 8,
			Slices: []alpsclient.Slices{{LengthUS: 5, Count: 2}, {LengthUS: 9, Count: 1}}}, // 1
		{UID: "3", NSPID: 40, ArriveNS: 1115, EndNS: 1190, CPUNS: 50, WaitNS: 12, SwitchesInvol: 2, Slices: []alpsclient.Slices{{LengthUS: 5, Count: 3}}},
		{UID: "9", NSPID: 41, ArriveNS: 1205, EndNS: 1250}, // another function's
	} {
		k := pidKey{e.UID, e.NSPID}
		seen.byPID[k] = append(seen.byPID[k], e)
	}
	out := join(reqs, start, sent, replies, errs, seen)
	require.Len(t, out.Invocations, 5)
	require.Equal(t, results.OK, out.Invocations[0].Status)
	require.EqualValues(t, 1005, out.Invocations[0].ArriveNS)
	require.EqualValues(t, 1115, out.Invocations[1].ArriveNS)
	require.Equal(t, 2, out.Invocations[1].SwitchesInvol)
	require.Equal(t, 3, out.Failed)
	require.Len(t, out.Errors, 3)
	require.Contains(t, out.Errors[0], "invocation 3: uid 8 pid 41: answered, but not observed")
	require.Contains(t, out.Errors[1], "502")
	require.Contains(t, out.Errors[2], "never sent")
	require.EqualValues(t, 80, out.CPU)
	require.EqualValues(t, 100, out.MeanGap)
	require.EqualValues(t, 500, out.Span)
	require.EqualValues(t, 1, out.LateP50)
	require.EqualValues(t, 10, out.LateMax)
	require.Equal(t, []int64{8, 12, 0, 0, 0}, out.WaitNS)
	require.Equal(t, map[string]float64{"G1": 0.25}, out.Observer.WaitShare)
	require.Equal(t, []results.Slices{{Group: "G1", Length: 5 * time.Microsecond, Count: 5}, {Group: "G1", Length: 9 * time.Microsecond, Count: 1}}, out.Slices)
}

func TestCost(t *testing.T) {
	c := Cost{Base: 8 * time.Millisecond, PerRound: 500 * time.Microsecond}
	n := c.Rounds(43 * time.Millisecond)
	require.Equal(t, 70, n)
	require.Equal(t, 43*time.Millisecond, c.CPU(n))
	require.Equal(t, 1, c.Rounds(time.Millisecond))
}
