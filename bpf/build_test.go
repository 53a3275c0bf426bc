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
	"github.com/stretchr/testify/require"
)

// The committed objects are what the sources give, byte for byte, wherever
// the repository lies.
func TestObjectsAreUpToDate(t *testing.T) {
	if _, err := exec.LookPath("clang-14"); err != nil {
		if strings.Contains(os.Getenv("MUST_RUN"), "clang") {
			t.Fatal(err)
		}
		t.Skip("needs clang-14: run the target deps")
	}
	// Below the module, for its tool bpf2go, at another path than this one's.
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	dir, err := os.MkdirTemp("testdata", "elsewhere")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"gen.go", "alps.bpf.c"} {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	cmd := exec.Command("go", "generate", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"alps_x86_bpfel.o", "alps_x86_bpfel.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, string(want) == string(got), "%s is not what alps.bpf.c gives: run the target bpf:build", name)
	}
}

func TestPrograms(t *testing.T) {
	spec, err := loadAlps()
	require.NoError(t, err)
	for name, want := range map[string]struct {
		attach ebpf.AttachType
		to     string
	}{
		"alps_bias":      {ebpf.AttachModifyReturn, "alps_hook_bias"},
		"alps_slice":     {ebpf.AttachModifyReturn, "alps_hook_slice"},
		"observe_fork":   {ebpf.AttachTraceRawTp, "sched_process_fork"},
		"observe_exec":   {ebpf.AttachTraceRawTp, "sched_process_exec"},
		"observe_switch": {ebpf.AttachTraceRawTp, "sched_switch"},
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
	want := alpsEvent{CgroupId: 7, ArriveNs: 1, ExecNs: 2, StartNs: 3, EndNs: 9, CpuNs: 5, Pid: 100, Nspid: 4, SwitchesVol: 6, SwitchesInvol: 8}
	raw, err := binary.Append(nil, binary.LittleEndian, want)
	require.NoError(t, err)
	e, err := decode(raw)
	require.NoError(t, err)
	require.Equal(t, Event{Cgroup: 7, PID: 100, NSPID: 4, Arrive: 1, Exec: 2, Start: 3, End: 9, CPU: 5 * time.Nanosecond, SwitchesVol: 6, SwitchesInvol: 8}, e)
	_, err = decode(raw[:20])
	require.ErrorContains(t, err, "event of 20 bytes")
}
