// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/ring"
)

// pinIn prepares to pin in dir.
func pinIn(dir string) (*Backend, error) {
	b := &Backend{}
	_, err := b.pinned(Options{Pin: dir}, &ebpf.CollectionSpec{})
	return b, err
}

// A directory that is not on a BPF file system is refused before anything in it
// is touched, whatever the names there look like.
func TestPinNeedsABPFFileSystem(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, strings.Repeat("0af", 4))
	require.NoError(t, os.MkdirAll(theirs, 0o755))
	for _, name := range []string{"notes", theirs + "/control"} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		require.NoError(t, os.WriteFile(name, []byte("theirs"), 0o644))
	}
	for _, pin := range []string{dir, filepath.Join(dir, "new"), filepath.Join(dir, "new", "newer")} {
		_, err := pinIn(pin)
		require.ErrorContains(t, err, "is not on a BPF file system: give a directory below /sys/fs/bpf")
	}
	require.FileExists(t, filepath.Join(dir, "notes"))
	require.FileExists(t, filepath.Join(theirs, "control"))
	require.NoDirExists(t, filepath.Join(dir, "new"))
}

// bpffs mounts a BPF file system that only the calling thread sees; the thread
// ends with the test.
func bpffs(t *testing.T) string {
	ring.Need(t, ring.Root, os.Geteuid() == 0, "root is needed to mount a BPF file system")
	runtime.LockOSThread()
	dir := t.TempDir()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("bpf", dir, "bpf", 0, "mode=700"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// pinMap pins a map at path.
func pinMap(t *testing.T, path string) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.Pin(path))
}

// On a BPF file system another build's directory goes and nothing else.
func TestPinRemovesOtherBuildsOnly(t *testing.T) {
	root := bpffs(t)
	pin := filepath.Join(root, "x", "alps")
	require.NoError(t, os.Mkdir(filepath.Join(root, "x"), 0o755))
	b, err := pinIn(pin)
	require.NoError(t, err)
	require.False(t, b.Resumed)

	build, folder, file, alike := filepath.Join(pin, "0123456789ab"), filepath.Join(pin, "folder"), filepath.Join(pin, "file"), filepath.Join(pin, "ba9876543210")
	for _, dir := range []string{build, folder, alike} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	pinMap(t, filepath.Join(build, "control"))
	pinMap(t, filepath.Join(folder, "control"))
	pinMap(t, filepath.Join(alike, "theirs"))
	pinMap(t, file)
	b, err = pinIn(pin)
	require.NoError(t, err)
	require.True(t, b.Resumed)
	require.NoDirExists(t, build)
	for _, path := range []string{folder + "/control", alike + "/theirs", file} {
		require.FileExists(t, path)
	}

	// What was made here goes when it is empty, and no more than that.
	require.NoError(t, b.unpin())
	require.DirExists(t, pin)
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.RemoveAll(alike))
	require.NoError(t, os.Remove(file))
	b, err = pinIn(pin)
	require.NoError(t, err)
	require.NoError(t, b.unpin())
	require.NoDirExists(t, pin)
	require.DirExists(t, filepath.Join(root, "x"))

	// Nor does the root of the file system, or a directory that was there before.
	theirs := filepath.Join(root, "theirs")
	require.NoError(t, os.Mkdir(theirs, 0o700))
	for _, pin := range []string{root, theirs} {
		b, err := pinIn(pin)
		require.NoError(t, err)
		require.NoError(t, b.unpin())
		require.DirExists(t, pin)
	}
}

// A directory of pins is one process's alone; another is told whose it is. When that one lets
// go, even by removing the directory meanwhile, it is free.
func TestADirectoryOfPinsIsOneProcesss(t *testing.T) {
	pin := filepath.Join(bpffs(t), "x", "alps")
	first, err := lockPin(pin)
	require.NoError(t, err)
	comm, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	_, err = lockPin(pin)
	require.EqualError(t, err, fmt.Sprintf("pin: %s is process %d (%s)'s: end that first, because two would steer one kernel", pin, os.Getpid(), strings.TrimSpace(string(comm))))
	_, err = Load(Options{Pin: pin})
	require.ErrorContains(t, err, "end that first")
	require.DirExists(t, pin)
	require.NoError(t, removePinDir(pin))
	require.NoError(t, first.Close())
	second, err := lockPin(pin)
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

// A process that resumes reads back what the one before was told last, and nothing is left of
// functions whose cgroups went meanwhile.
func TestFunctionsAreResumedAsTheyWereLast(t *testing.T) {
	pin := filepath.Join(bpffs(t), "alps")
	resumed := func() *Backend {
		spec, err := loadAlps()
		require.NoError(t, err)
		spec.Programs = nil
		spec.Maps[mapNotes] = specOfNotes()
		for _, name := range []string{alpsMapFunctionCpus, alpsMapMemos} {
			spec.Maps[name].MaxEntries = MaxFunctions
		}
		b := &Backend{links: map[string]link.Link{}, slots: map[CgroupID]uint32{}, cpus: 1}
		opts, err := b.pinned(Options{Pin: pin}, spec)
		require.NoError(t, err)
		var objs struct {
			alpsMaps
			noteMaps
		}
		require.NoError(t, spec.LoadAndAssign(&objs, opts))
		b.maps, b.notes = objs.alpsMaps, objs.Notes
		require.NoError(t, errors.Join(b.mapControl(), b.resume()))
		return b
	}
	b := resumed()
	want := Function{ID: 7, UID: "resize", Name: "r", Cgroup: "/f/7", Note: `{"source":"auto"}`}
	require.NoError(t, b.SetFunctions([]Function{{ID: 7, UID: "pod1", Cgroup: "/f/7"}, {ID: 8, UID: "gone"}}))
	require.NoError(t, b.SetFunctions([]Function{want, {ID: 8, UID: "gone"}}))
	require.NoError(t, b.free())
	b = resumed()
	require.True(t, b.Resumed)
	require.NoError(t, b.maps.Functions.Delete(uint64(8))) // as the kernel does when the cgroup is removed
	require.NoError(t, b.free())
	b = resumed()
	got, err := b.Functions()
	require.NoError(t, err)
	require.Equal(t, []Function{want}, got)
	n, err := each(b.notes, func(uint64, note) {})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, errors.Join(b.unpin(), b.free()))
}
