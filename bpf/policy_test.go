// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

// These tests need a kernel that loads BPF, but no hooks: what the program on
// the hook does is run as a program of a type that can be run by itself.

// backend is maps without attachments, and programs that ask them.
func backend(t testing.TB) (*Backend, timed) {
	ring.Need(t, ring.Root, os.Geteuid() == 0, "root is needed to load BPF")
	require.NoError(t, rlimit.RemoveMemlock())
	spec, err := loadAlps()
	require.NoError(t, err)
	for name := range spec.Programs {
		if name != alpsProgTimeBias && name != alpsProgTimeSlice && name != alpsProgTimeNothing && name != alpsProgSweep && name != alpsProgSettle && name != alpsProgAskSteady {
			delete(spec.Programs, name)
		}
	}
	spec.Maps[mapNotes] = specOfNotes()
	var objs struct {
		alpsMaps
		noteMaps
		timed
	}
	require.NoError(t, spec.LoadAndAssign(&objs, nil))
	b := &Backend{maps: objs.alpsMaps, notes: objs.Notes, slots: map[CgroupID]uint32{}, cpus: 1, progs: programs{Sweep: objs.Sweep, Settle: objs.Settle}}
	require.NoError(t, b.mapControl())
	t.Cleanup(func() { objs.Bias.Close(); objs.Slice.Close(); objs.Nothing.Close(); objs.Steady.Close(); b.free() })
	return b, objs.timed
}

// timed are the programs that can be run here: what the hooks answer, and nothing.
type timed struct {
	Bias    *ebpf.Program `ebpf:"time_bias"`
	Slice   *ebpf.Program `ebpf:"time_slice"`
	Nothing *ebpf.Program `ebpf:"time_nothing"`
	Sweep   *ebpf.Program `ebpf:"sweep"`
	Settle  *ebpf.Program `ebpf:"settle"`
	Steady  *ebpf.Program `ebpf:"ask_steady"`
}

// asked is struct __sk_buff as far as mark.
func asked(id CgroupID) []byte {
	ctx := make([]byte, 192)
	binary.LittleEndian.PutUint32(ctx[8:], uint32(id))
	return ctx
}

func ask(t *testing.T, p *ebpf.Program, id CgroupID) uint32 {
	answer, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64), Context: asked(id)})
	require.NoError(t, err)
	return answer
}

func TestGenerations(t *testing.T) {
	b, hooks := backend(t)
	p := hooks.Bias
	require.Zero(t, ask(t, p, 1), "nothing is known")
	require.ErrorContains(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 5}}), "cgroup 1 is not a function")
	require.NoError(t, b.SetFunctions([]Function{{ID: 1, UID: "one"}, {ID: 2, UID: "two"}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 5}, 2: {BiasUS: 6}}))
	require.EqualValues(t, []uint32{5, 6}, []uint32{ask(t, p, 1), ask(t, p, 2)})

	// What fills the other half does not count until the switch, and is not
	// left over if who wrote it died there.
	require.NoError(t, b.maps.Policy.Put(b.index(b.slots[2], b.Generation()+1), alpsEntry{CgroupId: 2, Generation: b.Generation() + 1, BiasUs: 9}))
	require.EqualValues(t, 6, ask(t, p, 2))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 7}}))
	require.EqualValues(t, []uint32{7, 0}, []uint32{ask(t, p, 1), ask(t, p, 2)})

	before := b.Generation()
	require.Error(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 1}, 2: {SliceUS: 20_000_000}}))
	require.EqualValues(t, 7, ask(t, p, 1), "a refused policy changes nothing")
	require.Equal(t, before, b.Generation())

	got, err := b.Policy()
	require.NoError(t, err)
	require.Equal(t, map[CgroupID]Entry{1: {BiasUS: 7}}, got)
}

func TestASlotsNextOwnerStartsWithoutPolicy(t *testing.T) {
	b, hooks := backend(t)
	p := hooks.Bias
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}, {ID: 2}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 5}, 2: {BiasUS: 6}}))
	require.NoError(t, b.SetFunctions([]Function{{ID: 2}, {ID: 3}}))
	require.EqualValues(t, []uint32{0, 6, 0}, []uint32{ask(t, p, 1), ask(t, p, 2), ask(t, p, 3)})
	// The id came again before anybody set a policy.
	require.NoError(t, b.SetFunctions([]Function{{ID: 2}, {ID: 1}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{2: {BiasUS: 6}}))
	require.Zero(t, ask(t, p, 1))
}

func TestHeartbeat(t *testing.T) {
	b, hooks := backend(t)
	p := hooks.Bias
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 5}}))
	check := func(bias uint32) {
		require.Equal(t, bias, ask(t, p, 1))
		entries, err := b.Policy()
		require.NoError(t, err)
		require.Equal(t, bias, entries[1].BiasUS, "what is read back is what counts")
	}
	require.NoError(t, b.KeepAlive(time.Hour))
	check(5)
	require.NoError(t, b.KeepAlive(time.Nanosecond))
	check(0)
	require.NoError(t, b.KeepAlive(0))
	check(5)
}

func TestLateBias(t *testing.T) {
	b, hooks := backend(t)
	p := hooks.Bias
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 5, SliceUS: 10, LateBiasUS: 50}}))
	require.EqualValues(t, 50, ask(t, p, 1), "no invocation is fresh")
	var f alpsFunction
	require.NoError(t, b.maps.Functions.Lookup(uint64(1), &f))
	f.Fresh = 1
	require.NoError(t, b.maps.Functions.Put(uint64(1), f))
	require.EqualValues(t, 5, ask(t, p, 1))
}

func TestFunctionsAreReadBack(t *testing.T) {
	b, _ := backend(t)
	want := Function{ID: 7, UID: "u", Name: "näme", Cgroup: "/alps.slice/x"}
	require.NoError(t, b.SetFunctions([]Function{want}))
	got, err := b.Functions()
	require.NoError(t, err)
	require.Equal(t, []Function{want}, got)
	hash := strings.Repeat("c13acdc7567b2259", 4) // as in Azure's traces
	same := func(want ...Function) {
		got, err := b.Functions()
		require.NoError(t, err)
		require.ElementsMatch(t, want, got)
	}
	// Another uid, name or note of a function that there is counts at once, and nothing is
	// counted anew.
	var counts alpsFunction
	require.NoError(t, b.maps.Functions.Lookup(uint64(7), &counts))
	counts.Fresh = 3
	require.NoError(t, b.maps.Functions.Put(uint64(7), counts))
	renamed := Function{ID: 7, UID: "resize", Name: "n", Cgroup: want.Cgroup, Note: "busy"}
	require.NoError(t, b.SetFunctions([]Function{renamed}))
	same(renamed)
	require.NoError(t, b.maps.Functions.Lookup(uint64(7), &counts))
	require.EqualValues(t, 3, counts.Fresh)
	require.NoError(t, b.SetFunctions(nil))
	require.NoError(t, b.SetFunctions([]Function{want}))
	same(want)
	require.NoError(t, b.SetFunctions([]Function{want, {ID: 8, UID: hash}}))
	require.Len(t, b.slots, 2)
	require.NoError(t, b.SetFunctions([]Function{want}))
	for _, bad := range []Function{{ID: 8, UID: strings.Repeat("u", 128)}, {ID: 8, Name: strings.Repeat("n", 128)}, {ID: 8, Cgroup: strings.Repeat("c", 512)}, {ID: 8, Note: strings.Repeat("n", MaxNote+1)}} {
		require.ErrorContains(t, b.SetFunctions([]Function{{ID: 9}, bad}), "bytes: at most ")
		same(want) // a refused set changes nothing
	}
	var many []Function
	for i := range MaxFunctions + 1 {
		many = append(many, Function{ID: CgroupID(i + 1)})
	}
	require.NoError(t, b.SetFunctions(many[:MaxFunctions]))
	require.ErrorContains(t, b.SetFunctions(many), "1025 functions: at most 1024")
	require.Len(t, b.slots, MaxFunctions)
}

// If the kernel fails in the middle, whichever step it is, what was added is removed again.
func TestFunctionsAreAddedAllOrNone(t *testing.T) {
	for why, add := range map[string][]Function{
		"the new one has busy periods":  {{ID: 2}, {ID: 1}, {ID: 3, Source: SourceBusy}},
		"one of before has them by now": {{ID: 2}, {ID: 1, Source: SourceBusy}},
	} {
		t.Run(why, func(t *testing.T) {
			b, _ := backend(t)
			require.NoError(t, b.SetFunctions([]Function{{ID: 1}}))
			periods := b.maps.Periods
			t.Cleanup(func() { b.maps.Periods.Close(); b.maps.Periods = periods })
			full, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: periods.KeySize(), ValueSize: periods.ValueSize(), MaxEntries: 1})
			require.NoError(t, err)
			require.NoError(t, full.Put(uint32(1), make([]byte, periods.ValueSize())))
			b.maps.Periods = full
			require.ErrorContains(t, b.SetFunctions(add), "busy periods")
			require.Equal(t, map[CgroupID]uint32{1: 0}, b.slots)
			got, err := b.Functions()
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.EqualValues(t, 1, got[0].ID)
		})
	}
}

// What the slice hook answers: nothing of a stranger, CFS's slice of a function
// without one, else the entry's.
func TestSlices(t *testing.T) {
	b, hooks := backend(t)
	require.NoError(t, b.SetFunctions([]Function{{ID: 1}, {ID: 2}}))
	require.NoError(t, b.SetPolicy(map[CgroupID]Entry{1: {BiasUS: 5, SliceUS: 700}, 2: {BiasUS: 6}}))
	require.EqualValues(t, 0, ask(t, hooks.Slice, 3))
	require.EqualValues(t, 700, ask(t, hooks.Slice, 1))
	require.EqualValues(t, -1, int32(ask(t, hooks.Slice, 2)))
}

// BenchmarkHooks is what the hooks' programs cost natively, for a cgroup that is
// no function, one without an entry, and one with.
func BenchmarkHooks(b *testing.B) {
	// Without a context the programs are asked for cgroup 0.
	for name, set := range map[string]func(*Backend) error{
		"stranger": func(*Backend) error { return nil },
		"function": func(be *Backend) error { return be.SetFunctions([]Function{{}}) },
		"entry": func(be *Backend) error {
			return errors.Join(be.SetFunctions([]Function{{}}), be.SetPolicy(map[CgroupID]Entry{0: {BiasUS: 5, SliceUS: 5}}), be.KeepAlive(time.Hour))
		},
	} {
		be, hooks := backend(b)
		require.NoError(b, set(be))
		for hook, program := range map[string]*ebpf.Program{"order": hooks.Bias, "slice": hooks.Slice} {
			b.Run(hook+"/"+name, func(b *testing.B) {
				timed := func(p *ebpf.Program, best time.Duration) time.Duration {
					_, mean, err := p.Benchmark(make([]byte, 64), 1<<20, nil)
					require.NoError(b, err)
					return min(best, mean)
				}
				with, without := time.Hour, time.Hour
				for b.Loop() {
					with, without = timed(program, with), timed(hooks.Nothing, without)
				}
				b.ReportMetric(float64((with - without).Nanoseconds()), "ns/call")
			})
		}
	}
}
