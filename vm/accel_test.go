// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// testHost is a host whose /dev/kvm opens and whose kernel has these modules.
func testHost(t *testing.T, modules ...string) host {
	h := host{device: filepath.Join(t.TempDir(), "kvm"), modules: t.TempDir(), probe: func(context.Context, string) string {
		t.Error("no probe guest is to be tried")
		return "tried"
	}}
	require.NoError(t, os.WriteFile(h.device, nil, 0o644))
	for _, m := range modules {
		require.NoError(t, os.Mkdir(filepath.Join(h.modules, m), 0o755))
	}
	return h
}

// A verdict on KVM is remembered per kernel, so no second probe guest boots.
func TestVerdictIsKept(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	kernel := filepath.Join(t.TempDir(), "bzImage") // nothing that boots
	require.NoError(t, os.WriteFile(kernel, []byte("one"), 0o644))
	h := testHost(t, "kvm", "kvm_intel")
	require.Equal(t, Auto, h.remembered(kernel))

	const aborted = "qemu-system-x86_64: signal: aborted: error: failed to set MSR 0x10a to 0x0; kvm.c:1: Assertion `ret' failed."
	probes, why := 0, aborted
	h.probe = func(context.Context, string) string { probes++; return why }
	for range 2 {
		a, says, err := h.resolve(t.Context(), Auto, kernel)
		require.NoError(t, err)
		require.Equal(t, TCG, a)
		require.Equal(t, "KVM does not work here: "+aborted, says)
		require.Equal(t, TCG, h.remembered(kernel))
	}
	require.Equal(t, 1, probes)

	require.NoError(t, os.WriteFile(kernel, []byte("two"), 0o644))
	require.Equal(t, Auto, h.remembered(kernel), "another kernel")
	why = ""
	for range 2 {
		a, says, err := h.resolve(t.Context(), "", kernel)
		require.NoError(t, err)
		require.Equal(t, KVM, a)
		require.Equal(t, "a probe guest booted under KVM", says)
		require.Equal(t, KVM, h.remembered(kernel))
	}
	require.Equal(t, 2, probes)

	a, says, err := h.resolve(t.Context(), VTime, kernel)
	require.NoError(t, err)
	require.Equal(t, VTime, a)
	require.Equal(t, "as asked", says)
}

// Where the processor is not behind /dev/kvm nothing is booted to find out.
func TestKVMInSoftwareIsRecognised(t *testing.T) {
	for name, c := range map[string]struct {
		modules []string
		says    string // "": a probe guest decides
	}{
		"Intel":           {[]string{"kvm", "kvm_intel"}, ""},
		"AMD":             {[]string{"kvm", "kvm_amd"}, ""},
		"PVM":             {[]string{"kvm", "kvm_pvm"}, "neither kvm_intel nor kvm_amd (only kvm, kvm_pvm), so KVM interprets guests in software"},
		"nothing to see":  {nil, ""},
		"only the device": {[]string{"kvm"}, "neither kvm_intel nor kvm_amd (only kvm)"},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHost(t, c.modules...)
			if c.says == "" {
				require.Empty(t, h.without())
				return
			}
			a, says, err := h.resolve(t.Context(), Auto, "no such kernel")
			require.NoError(t, err)
			require.Equal(t, TCG, a)
			require.Contains(t, says, c.says)
			require.Equal(t, TCG, h.remembered("no such kernel"))
			f := kvm(t.Context(), h, nil)
			require.Equal(t, Bad, f.Mark)
			require.Contains(t, f.Says, c.says)
		})
	}
	h := testHost(t, "kvm_intel")
	h.device += ".none"
	require.Contains(t, h.without(), "no KVM: open "+h.device)
	require.Equal(t, Bad, kvm(t.Context(), h, nil).Mark)
}

// A /dev/kvm that opens is no guest that boots.
func TestDoctorTriesKVMBeforeItSaysOK(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	kernel := filepath.Join(t.TempDir(), "bzImage")
	require.NoError(t, os.WriteFile(kernel, []byte("one"), 0o644))
	h := testHost(t, "kvm_amd")
	f := kvm(t.Context(), h, nil)
	require.Equal(t, Unknown, f.Mark)
	require.Contains(t, f.Says, "kernel:build")
	h.probe = func(context.Context, string) string { return "" }
	require.Equal(t, OK, kvm(t.Context(), h, []string{kernel}).Mark)
}

func TestComplaint(t *testing.T) {
	for said, want := range map[string]string{
		"": "",
		"qemu-system-x86_64: warning: host doesn't support requested feature\n":                                                                                          "",
		"qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0\nqemu-system-x86_64: ../target/i386/kvm/kvm.c:3213: kvm_buf_set_msrs: Assertion `ret == n' failed.\n": "error: failed to set MSR 0x10a to 0x0; ../target/i386/kvm/kvm.c:3213: kvm_buf_set_msrs: Assertion `ret == n' failed.",
		"1\n2\n3\n4\n": "2; 3; 4",
	} {
		require.Equal(t, want, complaint(said))
	}
}

func TestExamine(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	said := map[string]string{}
	for _, f := range Examine(t.Context(), nil) {
		said[f.Name] = f.Says
	}
	for _, name := range []string{"QEMU", "KVM", "memory", "CPUs", "disk"} {
		require.NotEmpty(t, said[name], name)
	}
	require.Equal(t, "0 running", said["guests"])
}

// A host with as much as README asks for is not marked. Linux manages some hundred MiB
// less than the memory that is there.
func TestDoctorKnowsWhatIsEnough(t *testing.T) {
	const mib, gb = 1 << 20, 1_000_000_000
	for _, c := range []struct {
		finding Finding
		mark    Mark
		says    string
	}{
		{memory(8192 * mib), OK, "8 GiB; 8 are enough"},
		{memory(7763 * mib), OK, "8 GiB; 8 are enough"},
		{memory(7168 * mib), Bad, "7 GiB; 8 are enough"},
		{memory(3900 * mib), Bad, "4 GiB; 8 are enough"},
		{freeDisk(20*gb, "/c"), OK, "20 GB free at /c; 20 are enough"},
		{freeDisk(20*gb-1, "/c"), Bad, "19 GB free at /c; 20 are enough"},
	} {
		require.Equal(t, c.mark, c.finding.Mark, c.finding.Says)
		require.Equal(t, c.says, c.finding.Says)
	}
}
