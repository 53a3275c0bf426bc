// SPDX-License-Identifier: Apache-2.0

package workdir

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/config"
)

func write(t *testing.T, path, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// A worker empties what workers make; anything else in its directories is an error
// before anything is removed.
func TestWhatNoWorkerMadeStays(t *testing.T) {
	c := config.Default(t.TempDir())
	left := []string{Code(c) + "/1-f/f.py", Code(c) + "/download-123", Scratch(c) + "/2-f/ol.sock", StatsFile(c)}
	for _, name := range []string{"/notes.txt", "/src/main.py", "/1", "/old-1-f/f.py"} {
		for _, dir := range []string{Code(c), Scratch(c)} {
			for _, path := range left {
				write(t, path, "a worker's")
			}
			theirs := dir + name
			write(t, theirs, "somebody's")
			_, err := Make(c)
			require.ErrorContains(t, err, "which no worker has made: move it away, or choose another worker_dir")
			for _, path := range append(left, theirs) {
				require.FileExists(t, path)
			}
			require.NoError(t, os.RemoveAll(filepath.Join(dir, strings.Split(name, "/")[1])))
		}
	}
	unmount, err := Make(c)
	require.NoError(t, err)
	require.NoError(t, unmount())
	for _, path := range left {
		require.NoFileExists(t, path)
	}
	require.NoError(t, os.Remove(Code(c)))
	write(t, Code(c), "a file of that name")
	_, err = Make(c)
	require.ErrorContains(t, err, "is no directory")
	require.FileExists(t, Code(c))
}

func TestAnothersMountStays(t *testing.T) {
	ring.Need(t, ring.Root, os.Getuid() == 0, "root is needed to mount")
	c := config.Default(t.TempDir())
	require.NoError(t, os.MkdirAll(Code(c), 0o755))
	require.NoError(t, unix.Mount("theirs", Code(c), "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(Code(c), unix.MNT_DETACH) })
	write(t, Code(c)+"/1-f", "on it")
	_, err := Make(c)
	require.ErrorContains(t, err, "theirs is mounted on "+Code(c))
	require.FileExists(t, Code(c)+"/1-f")
}

func TestMountOn(t *testing.T) {
	const table = `22 1 259:1 / / rw - ext4 /dev/root rw
30 22 0:40 / /w/a\040b/code rw - tmpfs none rw,size=65536k
31 22 259:1 /w/scratch /w/scratch rw - ext4 /dev/root rw
32 22 259:2 / /w/disk rw shared:1 - ext4 /dev/sdb rw
33 30 0:41 / /w/a\040b/code rw - tmpfs theirs rw
34 22 259:1 /home/me /w/home rw - ext4 /dev/root rw
`
	for dir, want := range map[string]mount{
		"/w/scratch":  {"/dev/root", true},
		"/w/disk":     {"/dev/sdb", false},
		"/w/a b/code": {"theirs", false},
		"/w/home":     {"/dev/root", false},
	} {
		got, found := mountOn(table, dir)
		require.True(t, found, dir)
		require.Equal(t, want, got, dir)
	}
	_, found := mountOn(table, "/w")
	require.False(t, found)
}

// A process that has a dead worker's number is not taken for the worker, and a
// file that no worker has written is not taken for worker.pid.
func TestAnothersProcessAndFileStay(t *testing.T) {
	c := config.Default(t.TempDir())
	write(t, PIDFile(c), strconv.Itoa(os.Getpid()))
	pid, found, err := Running(c)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, os.Getpid(), pid)
	before := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(PIDFile(c), before, before)) // this process is younger than the file
	pid, found, err = Running(c)
	require.NoError(t, err)
	require.True(t, found)
	require.Zero(t, pid)
	require.NoError(t, Claim(c), "its worker is dead")

	for _, text := range []string{"", "my notes", "-1", "12x"} {
		write(t, PIDFile(c), text)
		require.ErrorContains(t, Claim(c), fmt.Sprintf("holds %q, which no worker has written", text))
		left, err := os.ReadFile(PIDFile(c))
		require.NoError(t, err)
		require.Equal(t, text, string(left))
	}
}

// Of several that claim a dead worker's directory at once, one gets it.
func TestOneWorkerClaimsADeadOnesDirectory(t *testing.T) {
	c := config.Default(t.TempDir())
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	for range 300 {
		write(t, PIDFile(c), strconv.Itoa(gone.Process.Pid))
		var claimed atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if Claim(c) == nil {
					claimed.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, claimed.Load())
	}
}

// While what a dead worker left is removed, no worker starts; then its worker.pid stays.
func TestNoWorkerStartsInADirectoryThatIsCleared(t *testing.T) {
	c := config.Default(t.TempDir())
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	write(t, PIDFile(c), strconv.Itoa(gone.Process.Pid))
	claimed := make(chan error, 1)
	pid, err := Clear(c, func() error {
		go func() { claimed <- Claim(c) }()
		time.Sleep(100 * time.Millisecond) // in which it would claim
		pid, _, err := Running(c)
		require.Zero(t, pid)
		return err
	})
	require.NoError(t, err)
	require.Zero(t, pid)
	require.NoError(t, <-claimed)
	pid, err = Clear(c, func() error { return errors.New("it runs") })
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), pid)
	require.FileExists(t, PIDFile(c))
	require.NoError(t, os.RemoveAll(c.WorkerDir))
	no := errors.New("no docker")
	_, err = Clear(c, func() error { return no })
	require.ErrorIs(t, err, no, "also without a directory")
}
