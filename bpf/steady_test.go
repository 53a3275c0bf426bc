// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

// learnt is what steady learns of n invocations, whose CPU times cpu draws.
func learnt(t testing.TB, p policy.SteadyParams, n int, cpu func() time.Duration) *model.Steady {
	s, err := policy.NewSteady(p)
	require.NoError(t, err)
	for range n {
		s.Record("f", cpu())
	}
	s.Update()
	return model.NewSteady(&p, s.Table("f"))
}

// drawn are CPU times of many kinds.
func drawn(r *rand.Rand) map[string]func() time.Duration {
	ms := func(x float64) time.Duration { return time.Duration(x * float64(time.Millisecond)) }
	return map[string]func() time.Duration{
		"alike":       func() time.Duration { return ms(70) },
		"bimodal":     func() time.Duration { return ms([]float64{10, 10, 10, 900}[r.IntN(4)]) },
		"exponential": func() time.Duration { return ms(70 * r.ExpFloat64()) },
		"pareto":      func() time.Duration { return min(ms(20*math.Pow(1-r.Float64(), -1/1.1)), 3*time.Hour) },
		"uniform":     func() time.Duration { return time.Duration(r.Int64N(int64(time.Minute))) },
		"tiny":        func() time.Duration { return time.Duration(1 + r.Int64N(5000)) },
	}
}

// The programs in the kernel have the rules of package model, to the last bit.
func TestSteadyAnswersAsTheModel(t *testing.T) {
	b, hooks := backend(t)
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}}))
	r := rand.New(rand.NewPCG(1, 2))
	ask := func(used, sliceUsed time.Duration, ran bool, other time.Duration) alpsSteadyQuestion {
		q := alpsSteadyQuestion{CgroupId: 1, UsedNs: uint64(used), SliceUsedNs: uint64(sliceUsed), OtherNs: uint64(other)}
		if ran {
			q.Ran = 1
		}
		answered, err := hooks.Steady.Run(&ebpf.RunOptions{Context: &q, ContextOut: &q})
		require.NoError(t, err)
		require.EqualValues(t, 1, answered)
		return q
	}
	spans := map[bool]int{} // by whether one is long enough to be of use
	for name, cpu := range drawn(r) {
		for _, n := range []int{0, 1, 3, 200} {
			p := policy.DefaultSteady()
			if n == 3 { // odd values, too
				p.Octave, p.Floor = time.Duration(r.Int64N(int64(time.Minute))), time.Microsecond+time.Duration(r.Int64N(int64(time.Second)))
			}
			want := learnt(t, p, n, cpu)
			require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {Steady: want}}))
			used := []time.Duration{0, 1, want.Table.Seen - 1, want.Table.Seen, want.Table.Seen + 1, 49 * time.Hour}
			for range 300 {
				used = append(used, time.Duration(math.Exp(r.Float64()*math.Log(float64(2*time.Hour)))))
			}
			for _, x := range want.Table.Steps {
				if x.From < time.Hour {
					used = append(used, x.From, x.From+1)
				}
			}
			for _, u := range used {
				u = max(u, 0)
				sliceUsed, ran, other := time.Duration(r.Int64N(int64(u)+2)), r.IntN(2) == 0, model.NoOne
				switch r.IntN(3) {
				case 0: // a new invocation waits
					other = want.Table.Index(0)
				case 1: // the server
					other = want.Table.StrangerIndex(time.Duration(r.Int64N(int64(time.Second))))
				}
				index, waits := want.Table.Index(u), other
				got := ask(u, sliceUsed, ran, other)
				require.EqualValues(t, index, got.IndexNs, "%s %d: index at %s", name, n, u)
				require.EqualValues(t, want.Table.End(u), got.EndNs, "%s %d: end at %s", name, n, u)
				require.EqualValues(t, want.Bias(index, waits).Microseconds(), got.BiasUs, "%s %d: bias at %s, %s", name, n, u, waits)
				require.NotZero(t, got.SpanNs)
				for _, more := range []uint64{got.SpanNs - 1, r.Uint64N(got.SpanNs), r.Uint64N(got.SpanNs)} {
					later := u + time.Duration(min(more, uint64(50*time.Hour)))
					require.EqualValues(t, got.BiasUs, want.Bias(want.Table.Index(later), waits).Microseconds(), "%s %d: bias at %s, %s, is that at %s", name, n, later, waits, u)
				}
				spans[got.SpanNs > uint64(max(time.Microsecond, u/1000))]++
				slice := int64(-1)
				if d := want.Slice(index, u, sliceUsed, ran, waits); d > 0 {
					slice = d.Microseconds()
				}
				require.EqualValues(t, slice, got.SliceUs, "%s %d: slice at %s, %s, %t, %s", name, n, u, sliceUsed, ran, waits)
			}
		}
	}
	t.Logf("the bias stays for more than a thousandth of the CPU time used: %d, %d not", spans[true], spans[false])
	require.Greater(t, spans[true], 9*spans[false])
}

// What the kernel keeps of a table is the table; what it cannot keep is refused.
func TestSteadyIsReadBack(t *testing.T) {
	b, hooks := backend(t)
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}, {ID: 2}}))
	p := policy.DefaultSteady()
	r := rand.New(rand.NewPCG(1, 2))
	want := learnt(t, p, 100, drawn(r)["exponential"])
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {Steady: want}, 2: {BiasUS: 7}}))
	got, err := b.Policy()
	require.NoError(t, err)
	require.Equal(t, want.Table, got[1].Steady.Table)
	require.Equal(t, want.Params.GuardWait, got[1].Steady.Params.GuardWait)
	require.Nil(t, got[2].Steady)
	require.EqualValues(t, 7, ask(t, hooks.Bias, 2))

	bad := *want
	bad.Table.Steps[3].From = 0
	require.ErrorContains(t, b.SetPolicy(map[CgroupID]Entry{1: {Steady: &bad}}), "step 3 is from 0s")
	wrong := p
	wrong.Floor = 0
	require.ErrorContains(t, b.SetPolicy(map[CgroupID]Entry{1: {Steady: &model.Steady{Params: &wrong}}}), "floor")
	again, err := b.Policy()
	require.NoError(t, err)
	require.Equal(t, got, again, "a policy that is refused changes nothing")
}

// Whoever gets a slot next has no invocations that never ran.
func TestASlotsNextOwnerHasNoInvocations(t *testing.T) {
	b, _ := backend(t)
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}}))
	require.NoError(t, b.maps.FunctionCpus.Put(uint32(0), alpsFunctionCpu{NeverRan: 5}))
	require.NoError(t, b.SetFunctions([]Function{{ID: 2}}))
	var f alpsFunctionCpu
	require.NoError(t, b.maps.FunctionCpus.Lookup(uint32(0), &f))
	require.Zero(t, f.NeverRan)
}
