// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
)

// disk makes the overlay that the guest writes to, or finds the one that was
// kept under a name.
func (g *Guest) disk(ctx context.Context) error {
	c := g.Config
	switch {
	case c.Writable:
		return nil
	case c.from != "":
		return overlay(ctx, filepath.Join(c.from, snapshotDisk), g.paths.overlay)
	case c.overlay != "":
		g.paths.overlay = c.overlay
		return overlay(ctx, c.Disk, c.overlay)
	case c.Keep == "":
		return overlay(ctx, c.Disk, g.paths.overlay)
	}
	dir, err := cache.Dir("disk")
	if err != nil {
		return err
	}
	g.paths.overlay = filepath.Join(dir, c.Keep+".qcow2")
	base, err := backing(ctx, g.paths.overlay)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := atomicfile.Write(g.paths.overlay+baseSuffix, []byte(built(c.Disk)), 0o644); err != nil {
			return fmt.Errorf("vm: keep the disk as %s: %w", c.Keep, err)
		}
		return overlay(ctx, c.Disk, g.paths.overlay)
	case err != nil:
		return err
	case base != c.Disk || !isOver(g.paths.overlay, c.Disk):
		return fmt.Errorf("vm: the disk kept as %s lies over another image than the present one: use it with the revision it was made with, or delete %s", c.Keep, g.paths.overlay)
	}
	return nil
}

// built tells a disk from one that was built before or after it at the same path: blocks of
// the one are nothing to an overlay or a memory of the other. It is "" for a disk that is not there.
func built(disk string) string {
	st, err := os.Stat(disk)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d bytes, %d ns", st.Size(), st.ModTime().UnixNano())
}

// baseSuffix is that of the file which says what was built when a disk was first kept.
const baseSuffix = ".base"

// isOver says whether a kept disk was made over the disk as it is now. One without the file
// is older than it.
func isOver(kept, disk string) bool {
	text, err := os.ReadFile(kept + baseSuffix)
	return errors.Is(err, fs.ErrNotExist) || err == nil && string(text) == built(disk)
}

func overlay(ctx context.Context, base, path string) error {
	err := command.Run(ctx, command.Cmd{Args: []string{"qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path}})
	if err != nil {
		return fmt.Errorf("vm: overlay: %w", err)
	}
	return nil
}

// backing is the path of the image that a qcow2 file lies over.
func backing(ctx context.Context, path string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	// -U: another guest may have the file open; QEMU refuses to start then, and says so.
	out, err := command.Output(ctx, command.Cmd{Args: []string{"qemu-img", "info", "-U", "--output=json", path}})
	if err != nil {
		return "", fmt.Errorf("vm: read what the disk is based on: %w", err)
	}
	var info struct {
		Backing string `json:"backing-filename"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return "", fmt.Errorf("vm: %s: %w", path, err)
	}
	return info.Backing, nil
}

// ToolsDisk makes a disk of 256 MiB with dir's content, which guests mount read-only at
// /opt/alps, and returns its path. A disk with the same content is taken from the cache.
func ToolsDisk(ctx context.Context, dir string) (string, error) {
	key, err := digest.New("tools disk/1").Dir("dir", dir).Sum()
	if err != nil {
		return "", err
	}
	e, err := cache.Get(ctx, "tools", key, func(ctx context.Context, out string) error {
		image := filepath.Join(out, "tools.raw")
		if err := os.WriteFile(image, nil, 0o644); err != nil {
			return err
		}
		if err := os.Truncate(image, 256<<20); err != nil {
			return err
		}
		return command.Run(ctx, command.Cmd{
			Args: []string{"sh", "-c", `PATH=$PATH:/usr/sbin:/sbin exec mke2fs -q -F -t ext4 -O ^has_journal -L ALPS -d "$0" "$1"`, dir, image}})
	})
	if err != nil {
		return "", fmt.Errorf("tools disk: %w", err)
	}
	return filepath.Join(e.Dir, "tools.raw"), nil
}
