// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

func (b *Backend) attach(name string, p *ebpf.Program) error {
	if b.isAttached(name) {
		return nil
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach %s: %w", name, err)
	}
	b.setLink(name, l)
	return b.pinLink(name, l)
}

// detach undoes attach.
func (b *Backend) detach(name string) error {
	l := b.setLink(name, nil) // from here on nobody asks it
	if l == nil {
		return nil
	}
	var errs []error
	if b.pin != "" {
		errs = append(errs, l.Unpin())
	}
	if err := errors.Join(append(errs, l.Close())...); err != nil {
		return fmt.Errorf("detach %s: %w", name, err)
	}
	return nil
}

func (b *Backend) isAttached(name string) bool {
	b.linksMu.Lock()
	defer b.linksMu.Unlock()
	return b.links[name] != nil
}

// setLink makes l what is attached under a name; nil: nothing. It returns what was.
func (b *Backend) setLink(name string, l link.Link) (before link.Link) {
	b.linksMu.Lock()
	defer b.linksMu.Unlock()
	before = b.links[name]
	delete(b.links, name)
	if l != nil {
		b.links[name] = l
	}
	return before
}
