package openlambda

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/openlambda/config"
)

// makeDirs makes worker_dir with empty directories for code and scratch, as
// the storage keys say. The worker before this one may have been killed, so
// what it mounted goes first.
func makeDirs(c config.Config) (unmount func() error, err error) {
	var mounted []string
	unmount = func() error {
		var errs []error
		for _, dir := range slices.Backward(mounted) {
			errs = append(errs, unix.Unmount(dir, unix.MNT_DETACH))
		}
		return errors.Join(errs...)
	}
	if err := os.MkdirAll(c.WorkerDir, 0o700); err != nil {
		return nil, fmt.Errorf("worker_dir: %w", err)
	}
	if err := os.Remove(statsFile(c)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("worker_dir: %w", err)
	}
	for _, d := range []struct{ dir, storage string }{{codeDir(c), c.Storage.Code}, {scratchDir(c), c.Storage.Scratch}} {
		for unix.Unmount(d.dir, unix.MNT_DETACH) == nil {
		}
		if err := errors.Join(os.RemoveAll(d.dir), os.Mkdir(d.dir, 0o700)); err != nil {
			return nil, errors.Join(fmt.Errorf("worker_dir: %w", err), unmount())
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
