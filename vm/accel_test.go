package vm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A verdict on KVM is remembered per kernel, so no second probe guest boots.
func TestVerdictIsKept(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		_, why, err := Resolve(t.Context(), Auto, "none")
		require.NoError(t, err)
		require.Contains(t, why, "no KVM")
		t.Skip("the rest needs a /dev/kvm that opens")
	} else {
		f.Close()
	}
	kernel := filepath.Join(t.TempDir(), "bzImage") // nothing that boots
	require.NoError(t, os.WriteFile(kernel, []byte("one"), 0o644))
	path, err := verdictPath(kernel)
	require.NoError(t, err)
	require.Equal(t, Auto, Remembered(kernel))
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	require.Equal(t, KVM, Remembered(kernel))
	a, why, err := Resolve(t.Context(), Auto, kernel)
	require.NoError(t, err)
	require.Equal(t, KVM, a)
	require.Equal(t, "a probe guest booted under KVM", why)
	require.NoError(t, os.WriteFile(path, []byte("it hung"), 0o644))
	require.Equal(t, TCG, Remembered(kernel))
	a, why, err = Resolve(t.Context(), Auto, kernel)
	require.NoError(t, err)
	require.Equal(t, TCG, a)
	require.Equal(t, "KVM does not work here: it hung", why)
	require.NoError(t, os.WriteFile(kernel, []byte("two"), 0o644))
	other, err := verdictPath(kernel)
	require.NoError(t, err)
	require.NotEqual(t, path, other)
	a, why, err = Resolve(t.Context(), ICount, kernel)
	require.NoError(t, err)
	require.Equal(t, ICount, a)
	require.Equal(t, "as asked", why)
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
