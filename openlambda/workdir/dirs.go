// SPDX-License-Identifier: Apache-2.0

// Package workdir is the worker's directory: where code, scratch, pid and
// statistics lie, who may start in it, and what is removed from it. Names of
// directories and files are OpenLambda's.
package workdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Code is where functions' code is unpacked.
func Code(c config.Config) string { return filepath.Join(c.WorkerDir, "code") }

// Scratch holds a directory for each sandbox.
func Scratch(c config.Config) string { return filepath.Join(c.WorkerDir, "scratch") }

// PIDFile names the process of the worker that runs.
func PIDFile(c config.Config) string { return filepath.Join(c.WorkerDir, "worker.pid") }

// StatsFile is written when a worker ends.
func StatsFile(c config.Config) string { return filepath.Join(c.WorkerDir, "stats.json") }

// workersRE are what a worker, this one or OpenLambda's, leaves in its directories
// for code and scratch: a number and the function's name, or a download.
var workersRE = regexp.MustCompile(`^([0-9]+-.+|download-[0-9]+)$`)

// Make makes worker_dir with empty directories for code and scratch, mounted as the
// storage keys say; unmount undoes the mounts. First it removes and unmounts what a
// worker that was killed left there. A file that no worker makes stays and is an
// error: worker_dir may be somebody else's, too.
func Make(c config.Config) (unmount func() error, err error) {
	var mounted []string
	unmount = func() error {
		var errs []error
		for _, dir := range slices.Backward(mounted) {
			errs = append(errs, unix.Unmount(dir, unix.MNT_DETACH))
		}
		return errors.Join(errs...)
	}
	if err := os.MkdirAll(c.WorkerDir, 0o700); err != nil {
		return nil, fmt.Errorf("worker_dir: make it: %w", err)
	}
	for _, dir := range []string{Code(c), Scratch(c)} {
		if err := unmountOurs(dir); err != nil {
			return nil, fmt.Errorf("worker_dir: unmount what a worker before left: %w", err)
		}
		if err := foreign(dir); err != nil {
			return nil, fmt.Errorf("worker_dir: %w", err)
		}
	}
	if err := os.Remove(StatsFile(c)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("worker_dir: remove old statistics: %w", err)
	}
	for _, d := range []struct{ dir, storage string }{{Code(c), c.Storage.Code}, {Scratch(c), c.Storage.Scratch}} {
		if err := errors.Join(os.RemoveAll(d.dir), os.Mkdir(d.dir, 0o700)); err != nil {
			return nil, errors.Join(fmt.Errorf("worker_dir: empty its folders: %w", err), unmount())
		}
		switch d.storage {
		case "memory":
			err = unix.Mount("none", d.dir, "tmpfs", 0, "size=64m,mode=700")
		case "private":
			if err = unix.Mount(d.dir, d.dir, "", unix.MS_BIND, ""); err == nil {
				err = unix.Mount("none", d.dir, "", unix.MS_PRIVATE, "")
			}
		default:
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("storage %s on %s: %w", d.storage, d.dir, err), unmount())
		}
		mounted = append(mounted, d.dir)
	}
	return unmount, nil
}

// foreign returns an error if dir is, or has in it, something that no worker has made.
func foreign(dir string) error {
	st, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !st.IsDir() {
		return fmt.Errorf("%s is no directory, so no worker has made it: move it away, or choose another worker_dir", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !workersRE.MatchString(e.Name()) {
			return fmt.Errorf("%s has %s, which no worker has made: move it away, or choose another worker_dir", dir, e.Name())
		}
	}
	return nil
}

// unmountOurs undoes what Make mounted on dir. Another's mount is an error.
func unmountOurs(dir string) error {
	for {
		table, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		top, found := mountOn(string(table), dir)
		switch {
		case !found:
			return nil
		case !top.ours:
			return fmt.Errorf("%s is mounted on %s, by nobody of ours: choose another worker_dir", top.source, dir)
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
}

// mount is a line of /proc/self/mountinfo.
type mount struct {
	source string
	ours   bool // a tmpfs without a source, or a directory mounted on itself
}

// mountOn finds the uppermost mount on dir.
func mountOn(table, dir string) (m mount, found bool) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	escape := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`)
	want := escape.Replace(dir)
	for line := range strings.Lines(table) { // the uppermost is the last
		f := strings.Fields(line)
		i := slices.Index(f, "-")
		if i < 6 || i+2 >= len(f) || f[4] != want {
			continue
		}
		kind, source := f[i+1], f[i+2]
		found = true
		// A directory mounted on itself: the mount point ends in its path within the file system.
		m = mount{source: source, ours: kind == "tmpfs" && source == "none" || f[3] != "/" && strings.HasSuffix(want, f[3])}
	}
	return m, found
}
