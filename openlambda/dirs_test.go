package openlambda

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	c := testConfig(t)
	left := []string{codeDir(c) + "/1-f/f.py", codeDir(c) + "/download-123", scratchDir(c) + "/2-f/ol.sock", statsFile(c)}
	for _, name := range []string{"/notes.txt", "/src/main.py", "/1", "/old-1-f/f.py"} {
		for _, dir := range []string{codeDir(c), scratchDir(c)} {
			for _, path := range left {
				write(t, path, "a worker's")
			}
			theirs := dir + name
			write(t, theirs, "somebody's")
			_, err := makeDirs(c)
			require.ErrorContains(t, err, "which no worker has made: move it away, or choose another worker_dir")
			for _, path := range append(left, theirs) {
				require.FileExists(t, path)
			}
			require.NoError(t, os.RemoveAll(filepath.Join(dir, strings.Split(name, "/")[1])))
		}
	}
	unmount, err := makeDirs(c)
	require.NoError(t, err)
	require.NoError(t, unmount())
	for _, path := range left {
		require.NoFileExists(t, path)
	}
	require.NoError(t, os.Remove(codeDir(c)))
	write(t, codeDir(c), "a file of that name")
	_, err = makeDirs(c)
	require.ErrorContains(t, err, "is no directory")
	require.FileExists(t, codeDir(c))
}

func TestAnothersMountStays(t *testing.T) {
	ring.Need(t, ring.Root, os.Getuid() == 0, "root is needed to mount")
	c := testConfig(t)
	require.NoError(t, os.MkdirAll(codeDir(c), 0o755))
	require.NoError(t, unix.Mount("theirs", codeDir(c), "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(codeDir(c), unix.MNT_DETACH) })
	write(t, codeDir(c)+"/1-f", "on it")
	_, err := makeDirs(c)
	require.ErrorContains(t, err, "theirs is mounted on "+codeDir(c))
	require.FileExists(t, codeDir(c)+"/1-f")
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
	c := testConfig(t)
	write(t, pidFile(c), strconv.Itoa(os.Getpid()))
	pid, found, err := running(c)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, os.Getpid(), pid)
	before := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(pidFile(c), before, before)) // this process is younger than the file
	pid, found, err = running(c)
	require.NoError(t, err)
	require.True(t, found)
	require.Zero(t, pid)
	require.NoError(t, claim(c), "its worker is dead")

	for _, text := range []string{"", "my notes", "-1", "12x"} {
		write(t, pidFile(c), text)
		require.ErrorContains(t, claim(c), fmt.Sprintf("holds %q, which no worker has written", text))
		left, err := os.ReadFile(pidFile(c))
		require.NoError(t, err)
		require.Equal(t, text, string(left))
	}
}

// ol functions delete and init touch the configurations of functions init only.
func TestAnothersConfigurationStays(t *testing.T) {
	o := newOlDir(t)
	theirs := config.Default(o.path)
	require.NoError(t, theirs.Write(o.path+"/config.json"))
	write(t, o.path+"/80/config.json", `{"a": "web server's"}`)
	write(t, o.path+"/81/config.json", "no JSON at all")
	_, errOut, code := ol(t, o.d, "functions", "delete", "-p", o.path)
	require.Zero(t, code, errOut)
	_, errOut, code = ol(t, o.d, "functions", "init", "-p", o.path)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "is not of ol functions init: choose another directory by -p")
	for _, path := range []string{"/config.json", "/80/config.json", "/81/config.json"} {
		require.FileExists(t, o.path+path)
	}
	left, err := os.ReadFile(o.path + "/config.json")
	require.NoError(t, err)
	require.Equal(t, string(theirs.JSON()), string(left))
}
