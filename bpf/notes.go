// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// MaxNote is how many bytes of Function.Note are kept.
const MaxNote = 255

// mapNotes is a map that no program reads: what may change of a function while its
// invocations run. The programs count in a function's own value, which must not be written anew.
const mapNotes = "notes"

// noteMaps is the map beside the object's own.
type noteMaps struct {
	Notes *ebpf.Map `ebpf:"notes"`
}

// note is the map's value; each text ends with 0.
type note struct {
	UID  [MaxUID + 1]byte
	Name [MaxName + 1]byte
	Note [MaxNote + 1]byte
}

func specOfNotes() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: mapNotes, Type: ebpf.Hash, KeySize: 8, ValueSize: MaxUID + MaxName + MaxNote + 3, MaxEntries: MaxFunctions}
}

// setNote writes what may change of f, if it has changed.
func (b *Backend) setNote(f Function) error {
	var want, have note
	copy(want.UID[:], f.UID)
	copy(want.Name[:], f.Name)
	copy(want.Note[:], f.Note)
	err := b.notes.Lookup(uint64(f.ID), &have)
	if err == nil && have == want {
		return nil
	}
	if err == nil || errors.Is(err, ebpf.ErrKeyNotExist) {
		err = b.notes.Put(uint64(f.ID), want)
	}
	if err != nil {
		return fmt.Errorf("function cgroup %d: uid and name: %w", f.ID, err)
	}
	return nil
}

// readNote puts into f what was noted of it; nothing was by a process that died before it could.
func (b *Backend) readNote(f *Function) error {
	var n note
	err := b.notes.Lookup(uint64(f.ID), &n)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("function cgroup %d: uid and name: %w", f.ID, err)
	}
	f.UID, f.Name, f.Note = cString(n.UID[:]), cString(n.Name[:]), cString(n.Note[:])
	return nil
}

func (b *Backend) removeNote(id CgroupID) error {
	if err := b.notes.Delete(uint64(id)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("function cgroup %d: uid and name: %w", id, err)
	}
	return nil
}

// pruneNotes removes those of cgroups that went while no process was there to do it.
func (b *Backend) pruneNotes() error {
	var gone []CgroupID
	if _, err := each(b.notes, func(id uint64, _ note) {
		if _, ok := b.slots[CgroupID(id)]; !ok {
			gone = append(gone, CgroupID(id))
		}
	}); err != nil {
		return fmt.Errorf("read the notes of functions: %w", err)
	}
	for _, id := range gone {
		if err := b.removeNote(id); err != nil {
			return err
		}
	}
	return nil
}

// cString is what is before the first 0.
func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}
