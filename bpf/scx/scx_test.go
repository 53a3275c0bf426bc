// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/internal/schedext"
	"github.com/ds2-lab/alps/internal/ring"
)

// What Go and C call by the same name has the same form, in every object.
func TestValuesAreTheProgramsOwn(t *testing.T) {
	for _, o := range objects {
		spec, err := o.Load()
		require.NoError(t, err)
		for name, v := range map[string]any{"rule": rule{}, "limit": limitValue{}} {
			var st *btf.Struct
			require.NoError(t, spec.Types.TypeByName(name, &st))
			require.EqualValues(t, binary.Size(v), st.Size, "%s %s", o.Name, name)
		}
		require.EqualValues(t, len(countNames), spec.Maps["counts"].MaxEntries)
		require.EqualValues(t, maxCPUs*4, spec.Variables["queue_of_cpu"].Size())
		require.EqualValues(t, maxRoots, spec.Maps["roots"].MaxEntries)
		require.EqualValues(t, 2*MaxFunctions, spec.Maps["rules"].MaxEntries)
	}
}

// kernelWith is the type information of a kernel with these functions and these
// members of sched_ext_ops.
func kernelWith(t *testing.T, functions, members []string, flags ...btf.EnumValue) *btf.Spec {
	u64 := &btf.Int{Name: "u64", Size: 8}
	ops := &btf.Struct{Name: "sched_ext_ops", Size: uint32(8 * len(members))}
	for i, m := range members {
		ops.Members = append(ops.Members, btf.Member{Name: m, Type: u64, Offset: btf.Bits(64 * i)})
	}
	b, err := btf.NewBuilder([]btf.Type{ops, &btf.Enum{Name: "scx_ops_flags", Size: 8, Values: flags}}, nil)
	require.NoError(t, err)
	for _, f := range functions {
		_, err := b.Add(&btf.Func{Name: f, Type: &btf.FuncProto{Return: u64}, Linkage: btf.StaticFunc})
		require.NoError(t, err)
	}
	raw, err := b.Marshal(nil, nil)
	require.NoError(t, err)
	spec, err := btf.LoadSpecFromReader(strings.NewReader(string(raw)))
	require.NoError(t, err)
	return spec
}

func TestObjectIsChosenByTheKernelsNames(t *testing.T) {
	members := []string{"enqueue", "dispatch"}
	for name, functions := range map[string][]string{
		"scx612": {"scx_bpf_consume", "scx_bpf_dispatch"},
		"scx613": {"scx_bpf_dsq_insert", "scx_bpf_dsq_move_to_local"},
		"scx701": {"scx_bpf_dsq_move_to_local", "scx_bpf_dsq_move_to_local___v2", "scx_bpf_dsq_move_to_local___v2_impl"},
	} {
		spec, got, err := prepare(kernelWith(t, functions, members, btf.EnumValue{Name: "SCX_OPS_HAS_CGROUP_WEIGHT", Value: 1 << 16}), Options{Partial: true})
		require.NoError(t, err)
		require.Equal(t, name, got)
		require.NotNil(t, spec.Programs["scx_enqueue"])
		require.NotNil(t, spec.Programs["scx_weigh"], "it is no member's")
		require.Nil(t, spec.Programs["scx_cgroup_set_bandwidth"], "this kernel has no such member")
		var st *btf.Struct
		require.NoError(t, spec.Types.TypeByName("sched_ext_ops", &st))
		for _, m := range st.Members {
			value := spec.Maps["alps"].Contents[0].Value.([]byte)[m.Offset.Bytes():]
			switch m.Name {
			case "flags":
				require.EqualValues(t, 1<<1|1<<3|1<<16, binary.LittleEndian.Uint64(value))
			case "timeout_ms":
				require.EqualValues(t, 30000, binary.LittleEndian.Uint32(value))
			}
		}
	}
	_, _, err := prepare(kernelWith(t, []string{"scx_bpf_something"}, members), Options{})
	require.ErrorContains(t, err, "a newer ALPS is needed")
	none, err := btf.NewBuilder([]btf.Type{&btf.Int{Name: "u64", Size: 8}}, nil)
	require.NoError(t, err)
	raw, err := none.Marshal(nil, nil)
	require.NoError(t, err)
	empty, err := btf.LoadSpecFromReader(strings.NewReader(string(raw)))
	require.NoError(t, err)
	_, _, err = prepare(empty, Options{})
	require.ErrorIs(t, err, schedext.ErrNone)
}

func TestRulesAreChecked(t *testing.T) {
	ok := Step{Index: time.Millisecond, End: time.Millisecond}
	require.NoError(t, Rule{Steps: []Step{ok, {From: 5, End: 6}}}.Check())
	require.NoError(t, Rule{Bias: 1, Slice: MaxSlice, LateBias: 2}.Check())
	for why, r := range map[string]Rule{
		"17 steps":          {Steps: make([]Step, 17)},
		"first step":        {Steps: []Step{{From: 1, End: 2}}},
		"an End above":      {Steps: []Step{{Index: 1}}},
		"increasing From":   {Steps: []Step{ok, {From: 0, End: 1}}},
		"slice 10.000001s":  {Slice: MaxSlice + time.Microsecond},
		"bias -1ns":         {Bias: -1},
		"a slice and a":     {LateBias: 5},
		"late bias 1ns: a ": {Bias: 2, LateBias: 1, Slice: 1},
	} {
		require.ErrorContains(t, r.Check(), why)
	}
}

func TestRoots(t *testing.T) {
	pool := bpf.Function{ID: 7, Cgroup: "/alps.slice"}
	inside, beside := bpf.Function{ID: 8, Cgroup: "/alps.slice/f"}, bpf.Function{ID: 9, Cgroup: "/alps.slicer/f"}
	require.Equal(t, []bpf.CgroupID{7, 9}, rootsOf([]bpf.Function{inside, beside}, []bpf.Function{pool}))
	require.Equal(t, []bpf.CgroupID{8, 9}, rootsOf([]bpf.Function{inside, beside}, nil))
}

func TestQueues(t *testing.T) {
	_, n, err := queuesOf(nil, 32)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	sys := t.TempDir()
	for cpu, shared := range []string{"0-1", "0-1", "2", ""} {
		dir := filepath.Join(sys, "cpu"+string(rune('0'+cpu)), "cache", "index3")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		if shared != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "shared_cpu_list"), []byte(shared+"\n"), 0o644))
		}
	}
	require.Equal(t, []uint32{0, 0, 1, 2, 2}, cacheQueues(sys, 5))
	q, n, err := queuesOf([]uint32{0, 3}, 2)
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	require.EqualValues(t, 3, q[1])
	_, _, err = queuesOf([]uint32{32}, 1)
	require.ErrorContains(t, err, "33 queues: at most 32")
	_, _, err = queuesOf(nil, 1025)
	require.ErrorContains(t, err, "at most 1024")
}

func TestReadLimits(t *testing.T) {
	root := t.TempDir()
	for dir, max := range map[string]string{"a": "20000 100000", "a/b": "max 100000", "c": "150000 50000"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, dir, "cpu.max"), []byte(max+"\n"), 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "c", "cpu.max.burst"), []byte("5000\n"), 0o644))
	got, err := ReadLimits(root)
	require.NoError(t, err)
	a, err := bpf.CgroupOf(filepath.Join(root, "a"))
	require.NoError(t, err)
	c, err := bpf.CgroupOf(filepath.Join(root, "c"))
	require.NoError(t, err)
	require.Equal(t, map[bpf.CgroupID]Limit{
		a: {Quota: 20 * time.Millisecond, Period: 100 * time.Millisecond},
		c: {Quota: 150 * time.Millisecond, Period: 50 * time.Millisecond, Burst: 5 * time.Millisecond},
	}, got)
	require.NoError(t, os.WriteFile(filepath.Join(root, "c", "cpu.max"), []byte("none"), 0o644))
	_, err = ReadLimits(root)
	require.ErrorContains(t, err, "c/cpu.max: \"none\": want a quota and a period")
	require.NoError(t, os.Remove(filepath.Join(root, "c", "cpu.max")))
	_, err = ReadLimits(root)
	require.NoError(t, err, "a cgroup without the controller has none")
	require.NoError(t, os.Mkdir(filepath.Join(root, "c", "cpu.max"), 0o755))
	_, err = ReadLimits(root)
	require.ErrorContains(t, err, "c/cpu.max: is a directory", "a limit that cannot be read is not no limit")
	_, err = ReadLimits(filepath.Join(root, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// weighing is a scheduler that is in charge of nothing, and what its programs answer for
// an invocation of the function in a slot. No sched_ext is needed for that.
func weighing(t *testing.T) (s *Scheduler, weigh func(slot uint32, used time.Duration) (bias, until time.Duration)) {
	ring.Need(t, ring.Root, os.Geteuid() == 0, "loading BPF needs root")
	require.NoError(t, rlimit.RemoveMemlock())
	spec, err := loadScx613()
	require.NoError(t, err)
	for name := range spec.Programs {
		if name != "scx_weigh" {
			delete(spec.Programs, name)
		}
	}
	delete(spec.Maps, "alps")
	delete(spec.Maps, "refills")
	coll, err := ebpf.NewCollection(spec)
	ring.Need(t, ring.Root, err == nil, "%v", err)
	t.Cleanup(coll.Close)
	s = &Scheduler{coll: coll, slots: map[bpf.CgroupID]uint32{}, pools: map[bpf.CgroupID]bool{}}
	s.rules, err = coll.Maps["rules"].Memory()
	require.NoError(t, err)
	return s, func(slot uint32, used time.Duration) (bias, until time.Duration) {
		q := struct {
			Used, Bias, Until uint64
			Slot, _           uint32
		}{Used: uint64(used), Slot: slot}
		_, err := coll.Programs["scx_weigh"].Run(&ebpf.RunOptions{Context: q, ContextOut: &q})
		require.NoError(t, err)
		return time.Duration(q.Bias), time.Duration(q.Until)
	}
}

// The programs weigh as the rules say: by steps, by one bias, by SFS.
func TestWeigh(t *testing.T) {
	s, weigh := weighing(t)
	order := Order{Octave: time.Second, Floor: time.Millisecond, Most: 12 * time.Second}
	require.NoError(t, s.SetOrder(order))
	bias, until := weigh(3, 5*time.Millisecond)
	require.Zero(t, bias, "no rules at all")
	require.Equal(t, 15*time.Millisecond, until)

	steps := []Step{{Index: 50 * time.Millisecond, Slope: -1 << SlopeBits, End: 40 * time.Millisecond},
		{From: 30 * time.Millisecond, Index: 900 * time.Millisecond, Slope: 1 << (SlopeBits - 1), End: 2 * time.Second}}
	s.slots = map[bpf.CgroupID]uint32{10: 1, 20: 2, 30: 3}
	require.ErrorContains(t, s.SetRules(map[bpf.CgroupID]Rule{11: {}}, Rule{}), "it is no function")
	require.NoError(t, s.SetRules(map[bpf.CgroupID]Rule{10: {Steps: steps, Seen: 3 * time.Second},
		20: {Bias: time.Hour, Slice: 7 * time.Millisecond}, 30: {Bias: 5, Slice: 8 * time.Millisecond, LateBias: 9 * time.Second}}, Rule{Bias: 4 * time.Second}))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		used := time.Duration(rng.Int64N(int64(4 * time.Second)))
		if rng.IntN(2) == 0 {
			used = time.Duration(rng.Int64N(int64(60 * time.Millisecond)))
		}
		var index, end time.Duration
		switch {
		case used >= 3*time.Second:
			index, end = used, 2*used+4*time.Millisecond
		case used >= steps[1].From:
			index, end = steps[1].Index+(used-steps[1].From)/2, steps[1].End
		default:
			index, end = steps[0].Index-used, steps[0].End
		}
		bias, until := weigh(1, used)
		require.Equal(t, order.Bias(index), bias, "used %s", used)
		require.Equal(t, end, until, "used %s", used)
	}
	bias, until = weigh(2, time.Second)
	require.Equal(t, []time.Duration{12 * time.Second, 1007 * time.Millisecond}, []time.Duration{bias, until})
	bias, until = weigh(3, 7*time.Millisecond)
	require.Equal(t, []time.Duration{5, 8 * time.Millisecond}, []time.Duration{bias, until})
	bias, until = weigh(3, 8*time.Millisecond)
	require.Equal(t, []time.Duration{9 * time.Second, 18 * time.Millisecond}, []time.Duration{bias, until})
	bias, _ = weigh(99, 0)
	require.Equal(t, 4*time.Second, bias, "a function without a rule")
}

// mapped is the programs' map of functions: slots by cgroup.
func mapped(t *testing.T, s *Scheduler) map[bpf.CgroupID]uint32 {
	all := map[bpf.CgroupID]uint32{}
	var id uint64
	var slot uint32
	it := s.coll.Maps["functions"].Iterate()
	for it.Next(&id, &slot) {
		all[bpf.CgroupID(id)] = slot
	}
	require.NoError(t, it.Err())
	return all
}

// What is a function or a pool no more is no function's to the programs either, and
// may be the other from then on.
func TestFunctionsAndPoolsAreForgotten(t *testing.T) {
	s, _ := weighing(t)
	f, pool := bpf.Function{ID: 8, Cgroup: "/alps.slice/f"}, bpf.Function{ID: 7, Cgroup: "/alps.slice"}
	for _, x := range []struct {
		functions, pools []bpf.Function
		want             map[bpf.CgroupID]uint32
		raised           bool // the epoch
	}{
		{[]bpf.Function{f}, []bpf.Function{pool}, map[bpf.CgroupID]uint32{7: 0, 8: 1}, true},
		{[]bpf.Function{f}, []bpf.Function{pool}, map[bpf.CgroupID]uint32{7: 0, 8: 1}, false},
		{[]bpf.Function{f}, nil, map[bpf.CgroupID]uint32{8: 1}, true},
		{[]bpf.Function{f, pool}, []bpf.Function{pool}, map[bpf.CgroupID]uint32{8: 1, 7: 2}, true},
		{[]bpf.Function{f}, []bpf.Function{pool}, map[bpf.CgroupID]uint32{8: 1, 7: 0}, true},
		{[]bpf.Function{f, pool}, nil, map[bpf.CgroupID]uint32{8: 1, 7: 2}, true},
		{nil, nil, map[bpf.CgroupID]uint32{}, true},
	} {
		before := s.epoch
		require.NoError(t, s.SetFunctions(x.functions, x.pools))
		require.Equal(t, x.want, mapped(t, s), "%+v", x)
		require.Equal(t, x.raised, s.epoch > before, "%+v", x)
	}
}

// A function that gets the slot of one that is gone has no rule before it is given one.
func TestASlotsNextOwnerStartsWithoutRule(t *testing.T) {
	s, weigh := weighing(t)
	require.NoError(t, s.SetOrder(Order{}))
	require.NoError(t, s.SetFunctions([]bpf.Function{{ID: 8}}, nil))
	require.NoError(t, s.SetRules(map[bpf.CgroupID]Rule{8: {Bias: 5 * time.Second}}, Rule{Bias: time.Second}))
	bias, _ := weigh(s.slots[8], 0)
	require.Equal(t, 5*time.Second, bias)
	slot := s.slots[8]
	require.NoError(t, s.SetFunctions([]bpf.Function{{ID: 9}}, nil))
	require.Equal(t, slot, s.slots[9])
	bias, _ = weigh(slot, 0)
	require.Equal(t, time.Second, bias, "that of functions without a rule")
}

// If the kernel's map is full, what was added is removed again.
func TestFunctionsAreAddedAllOrNone(t *testing.T) {
	s, _ := weighing(t)
	require.NoError(t, s.SetFunctions([]bpf.Function{{ID: 8}}, nil))
	m := s.coll.Maps["functions"]
	for i := range m.MaxEntries() - 2 { // one more fits in
		require.NoError(t, m.Put(uint64(1000+i), uint32(0)))
	}
	before := mapped(t, s)
	require.ErrorContains(t, s.SetFunctions([]bpf.Function{{ID: 8}, {ID: 9}, {ID: 10}}, nil), "function cgroup")
	require.Equal(t, map[bpf.CgroupID]uint32{8: 1}, s.slots)
	require.Equal(t, before, mapped(t, s))
	require.ErrorContains(t, s.SetFunctions([]bpf.Function{{ID: 8}, {ID: 9}}, []bpf.Function{{ID: 7, Cgroup: "/p"}}), "pool /p")
	require.Equal(t, map[bpf.CgroupID]uint32{8: 1}, s.slots)
	require.Equal(t, before, mapped(t, s))
}

// Twice the index is an octave, and nothing is above the most.
func TestOrder(t *testing.T) {
	o := Order{}
	require.Zero(t, o.Bias(time.Millisecond))
	for index, want := range map[time.Duration]time.Duration{
		1100 * time.Microsecond: 0, 1500 * time.Microsecond: time.Second / 2, 2 * time.Millisecond: time.Second,
		8 * time.Millisecond: 3 * time.Second, 131072 * time.Millisecond: 17 * time.Second, time.Hour: MaxBias,
	} {
		require.Equal(t, want, o.Bias(index), "%s", index)
	}
	require.Less(t, MaxBias, 30*time.Second, "the kernel's watchdog")
}
