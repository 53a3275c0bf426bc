package bpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// pinned prepares for maps that outlive the process. They are pinned below a
// directory named by the object's digest: programs and maps of another build
// do not fit together, so they are let go.
func (b *Backend) pinned(o Options, spec *ebpf.CollectionSpec) (*ebpf.CollectionOptions, error) {
	if o.Pin == "" {
		return nil, nil
	}
	b.pin = filepath.Join(o.Pin, fmt.Sprintf("%x", sha256.Sum256(_AlpsBytes))[:12])
	others, err := filepath.Glob(filepath.Join(o.Pin, "*"))
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	for _, dir := range others {
		if dir == b.pin {
			b.Resumed = true
		} else if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("pin: another build's: %w", err)
		}
	}
	if err := os.MkdirAll(b.pin, 0o700); err != nil {
		return nil, fmt.Errorf("pin: %w (is a BPF file system mounted there?)", err)
	}
	for name, m := range spec.Maps {
		if name[0] != '.' { // constants are the programs' own
			m.Pinning = ebpf.PinByName
		}
	}
	return &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: b.pin}}, nil
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
		return fmt.Errorf("resume: %w", err)
	}
	for _, path := range paths {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			return fmt.Errorf("resume %s: %w", path, err)
		}
		b.links[filepath.Base(path)[len("link_"):]] = l
	}
	functions, err := b.Functions()
	if err != nil {
		return err
	}
	for _, f := range functions {
		b.slots[f.ID] = f.slot
	}
	return nil
}

func (b *Backend) unpin() error {
	if b.pin == "" {
		return nil
	}
	return errors.Join(os.RemoveAll(b.pin), os.Remove(filepath.Dir(b.pin)))
}
