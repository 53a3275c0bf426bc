// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// pinned prepares for maps that outlive the process. They are pinned below a
// directory named by the object's digest: programs and maps of another build
// do not fit together, so they are let go. Nothing else in o.Pin is touched.
func (b *Backend) pinned(o Options, spec *ebpf.CollectionSpec) (*ebpf.CollectionOptions, error) {
	if o.Pin == "" {
		return nil, nil
	}
	if err := makePinDir(o.Pin); err != nil {
		return nil, err
	}
	b.pin = filepath.Join(o.Pin, fmt.Sprintf("%x", sha256.Sum256(_AlpsBytes))[:digestLength])
	others, err := os.ReadDir(o.Pin)
	if err != nil {
		return nil, fmt.Errorf("look for pinned maps: %w", err)
	}
	for _, e := range others {
		dir := filepath.Join(o.Pin, e.Name())
		switch {
		case dir == b.pin:
			b.Resumed = true
		case isBuild(dir, e):
			if err := os.RemoveAll(dir); err != nil {
				return nil, fmt.Errorf("pin: another build's: %w", err)
			}
		}
	}
	if err := os.Mkdir(b.pin, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("pin maps: %w", err)
	}
	for name, m := range spec.Maps {
		if name[0] != '.' { // constants are the programs' own
			m.Pinning = ebpf.PinByName
		}
	}
	return &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: b.pin}}, nil
}

// digestLength is how many hexadecimal digits of the objects' digest name their
// directory.
const digestLength = 12

var digestRE = regexp.MustCompile(fmt.Sprintf("^[0-9a-f]{%d}$", digestLength))

// isBuild says whether dir is what a build of this package has pinned: it lies
// on a BPF file system, is named by a digest, and holds the map control, which
// every build has.
func isBuild(dir string, e fs.DirEntry) bool {
	if !e.IsDir() || !digestRE.MatchString(e.Name()) || checkBPFFS(dir) != nil {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, alpsMapControl))
	return err == nil
}

// checkBPFFS refuses a path that is not on a BPF file system.
func checkBPFFS(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("pin: %s: %w", path, err)
	}
	if uint32(st.Type) != unix.BPF_FS_MAGIC {
		return fmt.Errorf("pin: %s is not on a BPF file system: give a directory below /sys/fs/bpf (mount -t bpf bpf /sys/fs/bpf, if it is not mounted)", path)
	}
	return nil
}

// makePinDir makes the directory in which builds are pinned, with its parents.
// The sticky bit marks what was made here and is removed when it is empty again.
func makePinDir(path string) error {
	err := checkBPFFS(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makePinDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700|fs.ModeSticky); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of pins: %w", err)
	}
	return nil
}

// removePinDir removes what makePinDir has made, as far as it is empty.
func removePinDir(path string) error {
	for checkBPFFS(filepath.Dir(path)) == nil { // the file system's root stays
		info, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("remove folders of pins: %w", err)
		}
		if info.Mode()&fs.ModeSticky == 0 || info.Mode().Perm() != 0o700 {
			return nil // somebody else's
		}
		if err := os.Remove(path); errors.Is(err, unix.ENOTEMPTY) {
			return nil
		} else if err != nil {
			return fmt.Errorf("remove folders of pins: %w", err)
		}
		path = filepath.Dir(path)
	}
	return nil
}

func (b *Backend) linkPath(name string) string { return filepath.Join(b.pin, "link_"+name) }

func (b *Backend) pinLink(name string, l link.Link) error {
	if b.pin == "" {
		return nil
	}
	if err := l.Pin(b.linkPath(name)); err != nil {
		return fmt.Errorf("pin %s: %w", name, err)
	}
	return nil
}

// resume takes up the attachments and functions of the process before.
func (b *Backend) resume() error {
	if !b.Resumed {
		return nil
	}
	paths, err := filepath.Glob(b.linkPath("*"))
	if err != nil {
		return fmt.Errorf("look for pinned attachments: %w", err)
	}
	for _, path := range paths {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			return fmt.Errorf("resume %s: %w", path, err)
		}
		b.setLink(filepath.Base(path)[len("link_"):], l)
	}
	functions, err := b.Functions()
	if err != nil {
		return err
	}
	for _, f := range functions {
		b.slots[f.ID] = f.slot
		if f.Source != SourceProcess {
			b.busy.Store(true)
		}
	}
	return b.pruneNotes()
}

// unpin removes what is pinned by this build.
func (b *Backend) unpin() error {
	if b.pin == "" {
		return nil
	}
	if err := checkBPFFS(b.pin); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(b.pin), removePinDir(filepath.Dir(b.pin)))
}
