package vm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func plan(t *testing.T, c Config) string {
	args, err := Plan(c)
	require.NoError(t, err)
	return strings.Join(args, " ")
}

func TestPlan(t *testing.T) {
	c := Config{Kernel: "K", Disk: "D.qcow2", Tools: "T.raw", Accel: TCG}
	got := plan(t, c)
	require.Equal(t, got, plan(t, c), "the order of arguments is fixed")
	for _, want := range []string{"-smp 2 ", "-m 2048 ", "tcg,thread=multi", "-kernel K ", "file=OVERLAY.qcow2,format=qcow2", "file=T.raw,format=raw,cache=unsafe,read-only=on", "hostfwd=tcp:127.0.0.1:2222-:22", "-qmp unix:QMP.sock"} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "D.qcow2", "the disk itself is never written to")
	c.Accel = ICount
	require.Contains(t, plan(t, c), "-smp 1 ")
	require.Contains(t, plan(t, c), "-icount shift=0,sleep=off")
	c.Accel = Single
	require.Contains(t, plan(t, c), "-smp 2 ")
	require.Contains(t, plan(t, c), "tcg,thread=single")
	c.Accel = KVM
	require.Contains(t, plan(t, c), "accel=kvm -cpu host")
	c.Writable = true
	require.Contains(t, plan(t, c), "file=D.qcow2")
	c.Forwards = []int{5002}
	require.Contains(t, plan(t, c), ",hostfwd=tcp:127.0.0.1:5002-:5002")
}

func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]Config{
		"Kernel and Disk are required": {},
		"icount has one":               {Kernel: "k", Disk: "d", Accel: ICount, CPUs: 2},
		"allowed 1 to 64":              {Kernel: "k", Disk: "d", CPUs: 65},
		"at least 512":                 {Kernel: "k", Disk: "d", MemMiB: 100},
	} {
		_, err := Plan(c)
		require.ErrorContains(t, err, want)
	}
	_, err := ParseAccel("hvf")
	require.EqualError(t, err, `accel "hvf": allowed: auto, kvm, tcg, icount, single`)
}

func TestFindPanic(t *testing.T) {
	const console = "[    0.9] VFS: Cannot open root device\r\n[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n[    1.0] CPU: 0\r\n"
	require.Equal(t, "VFS: Unable to mount root fs on unknown-block(0,0)", findPanic(console))
	require.Empty(t, findPanic("all is well\n"))
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("1\r\n2\r\n3\r\n"), 0o644))
	require.Equal(t, "    2\n    3\n", Tail(path, 2))
	require.Equal(t, "    1\n    2\n    3\n", Tail(path, 9))
	require.Empty(t, Tail(path+"x", 9))
}

// A guest whose kernel finds no root must not be waited for.
func TestAGuestThatDoesNotBootIsReported(t *testing.T) {
	m := &Machine{Config: Config{Kernel: "/cache/kernel/abc/bzImage"}, paths: paths{console: filepath.Join(t.TempDir(), "c.log")}}
	require.NoError(t, os.WriteFile(m.paths.console, []byte("last words\n"), 0o644))
	err := m.failed(errors.New("no answer after 5m0s"))
	require.EqualError(t, err, "vm: boot abc: no answer after 5m0s\n    last words\n(console: "+m.paths.console+")")
}

func TestStatesOfTheDeadAreSwept(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	root := filepath.Join(os.Getenv("ALPS_CACHE"), "run")
	dead := filepath.Join(root, "vm1")
	require.NoError(t, os.MkdirAll(dead, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dead, stateName), []byte(`{"pid": 4194303, "ssh_port": 1}`), 0o644))
	_, err := Running()
	require.ErrorIs(t, err, ErrNoneRunning)
	sweep(root)
	require.NoDirExists(t, dead)
}

func TestKeyPairIsMadeOnce(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	a, err := KeyPair()
	require.NoError(t, err)
	b, err := KeyPair()
	require.NoError(t, err)
	require.Equal(t, a.PublicKey().Marshal(), b.PublicKey().Marshal())
	path := filepath.Join(os.Getenv("ALPS_CACHE"), "ssh", "id_ed25519")
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	require.NoError(t, os.WriteFile(path, []byte("torn"), 0o600))
	_, err = KeyPair()
	require.ErrorContains(t, err, "delete it")
}
