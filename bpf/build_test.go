// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

// The committed objects are what the sources give, byte for byte, wherever
// the repository lies.
func TestObjectsAreUpToDate(t *testing.T) {
	_, err := exec.LookPath("clang-14")
	ring.Need(t, ring.Clang, err == nil, "%v (go run mage.go deps)", err)
	for name, objects := range map[string][]string{"alps": {"alps"}, "ghost": {"ghost612", "ghost613", "ghost619"}, "scx": {"scx612", "scx613", "scx701"}} {
		dir := name
		if name == "alps" {
			dir = "."
		}
		t.Run(name, func(t *testing.T) { upToDate(t, dir, name, objects) })
	}
}

// upToDate builds name.bpf.c in a folder again.
func upToDate(t *testing.T, from, name string, objects []string) {
	// Below the module, for its tool bpf2go, at another path than this one's.
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	dir, err := os.MkdirTemp("testdata", "elsewhere")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	headers, err := filepath.Glob(filepath.Join(from, "*.bpf.h"))
	require.NoError(t, err)
	for _, path := range append(headers, filepath.Join(from, "gen.go"), filepath.Join(from, name+".bpf.c")) {
		file := filepath.Base(path)
		data, err := os.ReadFile(filepath.Join(from, file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
	}
	cmd := exec.Command("go", "generate", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, object := range objects {
		for _, file := range []string{object + "_x86_bpfel.o", object + "_x86_bpfel.go"} {
			want, err := os.ReadFile(filepath.Join(dir, file))
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(from, file))
			require.NoError(t, err)
			require.True(t, string(want) == string(got), "%s is not what %s.bpf.c gives: run the target bpf:build", file, name)
		}
	}
}

func TestPrograms(t *testing.T) {
	spec, err := loadAlps()
	require.NoError(t, err)
	for name, want := range map[string]struct {
		attach ebpf.AttachType
		to     string
	}{
		"alps_bias":          {ebpf.AttachModifyReturn, "alps_hook_bias"},
		"alps_slice":         {ebpf.AttachModifyReturn, "alps_hook_slice"},
		"observe_fork":       {ebpf.AttachTraceRawTp, "sched_process_fork"},
		"observe_exec":       {ebpf.AttachTraceRawTp, "sched_process_exec"},
		"observe_switch":     {ebpf.AttachTraceRawTp, "sched_switch"},
		"observe_signal":     {ebpf.AttachTraceRawTp, "signal_generate"},
		"observe_wakeup_new": {ebpf.AttachTraceRawTp, "sched_wakeup_new"},
		"observe_wakeup":     {ebpf.AttachTraceRawTp, "sched_wakeup"},
		"observe_migrate":    {ebpf.AttachTraceRawTp, "sched_migrate_task"},
		"observe_exit":       {ebpf.AttachTraceRawTp, "sched_process_exit"},
		"forget":             {ebpf.AttachTraceRawTp, "cgroup_rmdir"},
	} {
		p := spec.Programs[name]
		require.NotNil(t, p, name)
		require.Equal(t, ebpf.Tracing, p.Type, name)
		require.Equal(t, want.attach, p.AttachType, name)
		require.Equal(t, want.to, p.AttachTo, name)
	}
	// They run under the runqueue lock: nothing may be allocated there.
	const noPrealloc = 1 // BPF_F_NO_PREALLOC
	for name, m := range spec.Maps {
		require.Zero(t, m.Flags&noPrealloc, name)
	}
}

func TestDecode(t *testing.T) {
	want := alpsEvent{CgroupId: 7, ArriveNs: 1, ExecNs: 2, StartNs: 3, EndNs: 9, CpuNs: 5, WaitNs: 11, Pid: 100, Nspid: 4,
		SwitchesVol: 6, SwitchesInvol: 8, Tasks: 3}
	want.Slices[SliceBuckets-1] = 12
	raw, err := binary.Append(nil, binary.LittleEndian, want)
	require.NoError(t, err)
	e, err := decode(raw)
	require.NoError(t, err)
	require.Equal(t, Event{Cgroup: 7, PID: 100, NSPID: 4, Arrive: 1, Exec: 2, Start: 3, End: 9, CPU: 5 * time.Nanosecond, Wait: 11,
		SwitchesVol: 6, SwitchesInvol: 8, Tasks: 3, Slices: want.Slices}, e)
	_, err = decode(raw[:20])
	require.ErrorContains(t, err, "event of 20 bytes")
}

func TestSliceRanges(t *testing.T) {
	from, to := SliceRange(0)
	require.Equal(t, []time.Duration{0, 64 * time.Microsecond}, []time.Duration{from, to})
	for i := 1; i < SliceBuckets; i++ {
		require.Equal(t, to, bucketStart(i), "no gap before bucket %d", i)
		from, to = SliceRange(i)
		if i+1 < SliceBuckets {
			require.LessOrEqual(t, float64(to)/float64(from), 1.25)
		}
	}
	require.Equal(t, (1<<24)*time.Microsecond, from)
	require.Zero(t, to)
}

// The observer passes the verifier of the kernel that runs the tests, which may
// be newer than any that a guest has.
func TestTheObserverLoadsHere(t *testing.T) {
	ring.Need(t, ring.Root, os.Geteuid() == 0, "root is needed to load BPF")
	b, err := Load(Options{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

// kernelWith is the type information of a kernel with these fields of
// sched_entity and these functions.
func kernelWith(t *testing.T, fields []string, functions ...string) *btf.Spec {
	u64 := &btf.Int{Name: "u64", Size: 8}
	se := &btf.Struct{Name: "sched_entity", Size: uint32(8 * len(fields))}
	for i, f := range fields {
		se.Members = append(se.Members, btf.Member{Name: f, Type: u64, Offset: btf.Bits(64 * i)})
	}
	b, err := btf.NewBuilder([]btf.Type{se}, nil)
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

func TestForeignKernelsAreRefused(t *testing.T) {
	require.NoError(t, checkKernel(kernelWith(t, []string{"vruntime", "alps_begun"}, "alps_hook_bias")))
	require.ErrorIs(t, checkKernel(kernelWith(t, []string{"vruntime"}, "schedule")), ErrNoHooks)
	err := checkKernel(kernelWith(t, []string{"vruntime", "deadline", "vlag"}, "alps_hook_bias"))
	require.ErrorIs(t, err, ErrEEVDF)
	require.ErrorContains(t, err, "EEVDF")
}

// A kernfs node's parent is called as the kernel calls it.
func TestParentIsRenamed(t *testing.T) {
	for parent, want := range map[string]string{"parent": "parent", "__parent": "__parent"} {
		kernel := &btf.Struct{Name: "kernfs_node", Size: 8, Members: []btf.Member{{Name: parent, Type: &btf.Int{Name: "u64", Size: 8}}}}
		b, err := btf.NewBuilder([]btf.Type{kernel}, nil)
		require.NoError(t, err)
		raw, err := b.Marshal(nil, nil)
		require.NoError(t, err)
		spec, err := btf.LoadSpecFromReader(strings.NewReader(string(raw)))
		require.NoError(t, err)
		own, err := loadAlps()
		require.NoError(t, err)
		renameParent(own.Types, spec)
		var node *btf.Struct
		require.NoError(t, own.Types.TypeByName("kernfs_node", &node))
		require.Equal(t, []string{"id", want}, []string{node.Members[0].Name, node.Members[1].Name})
	}
}

func TestEntriesAreChecked(t *testing.T) {
	require.NoError(t, Entry{BiasUS: 1 << 30, SliceUS: 10_000_000}.Check())
	for why, e := range map[string]Entry{
		"slice of 10.000001s: at most 10s": {SliceUS: 10_000_001},
		"bias of 2147483648":               {BiasUS: 1 << 31},
		"late bias of 5":                   {BiasUS: 6, SliceUS: 1, LateBiasUS: 5},
		"late bias of 7":                   {LateBiasUS: 7},
	} {
		require.ErrorContains(t, e.Check(), why)
	}
}
