// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf/link"
)

// HooksEnabled says whether the kernel asks the hooks: any root process may write
// the sysctl.
func (b *Backend) HooksEnabled() (bool, error) {
	data, err := os.ReadFile(sysctl)
	if err != nil {
		return false, fmt.Errorf("read whether the kernel asks the hooks: %w", err)
	}
	return strings.TrimSpace(string(data)) == "1", nil
}

// Rivals counts the programs of others that are attached to the same hooks: of all
// programs there, the first that has an opinion decides.
func (b *Backend) Rivals() (int, error) {
	own, hooks, err := b.ownLinks()
	if err != nil || len(own) == 0 {
		return 0, err
	}
	n := 0
	var it link.Iterator
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if errors.Is(err, link.ErrNotSupported) {
			continue
		} else if err != nil {
			return 0, fmt.Errorf("read what is attached to the hooks: %w", err)
		}
		if at := info.Tracing(); at != nil && hooks[*at] && !own[info.ID] {
			n++
		}
	}
	if err := it.Err(); err != nil {
		return 0, fmt.Errorf("list what is attached to the hooks: %w", err)
	}
	return n, nil
}

// ownLinks are what this process has attached to the hooks, and what these are; none unless both are attached.
func (b *Backend) ownLinks() (own map[link.ID]bool, hooks map[link.TracingInfo]bool, err error) {
	own, hooks = map[link.ID]bool{}, map[link.TracingInfo]bool{}
	b.linksMu.Lock()
	defer b.linksMu.Unlock()
	for _, name := range []string{"hook_bias", "hook_slice"} {
		l := b.links[name]
		if l == nil {
			return nil, nil, nil
		}
		info, err := l.Info()
		if err != nil {
			return nil, nil, fmt.Errorf("read what this daemon attached to the hooks: %w", err)
		}
		own[info.ID] = true
		if at := info.Tracing(); at != nil {
			hooks[*at] = true
		}
	}
	return own, hooks, nil
}
