// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// ErrNoHooks means that the running kernel was built without the hooks.
var ErrNoHooks = errors.New("this kernel has no ALPS hooks: boot one built by kernel:build")

// ErrEEVDF means that the running kernel cannot have the hooks.
var ErrEEVDF = errors.New("this kernel schedules by EEVDF, which replaced CFS in 6.6: its order is by virtual deadlines " +
	"and lag, not by the vruntime that the hooks replace; boot a kernel built by kernel:build")

// checkKernel refuses a kernel without hooks, and says what to do.
func checkKernel(kernel *btf.Spec) error {
	var se *btf.Struct
	if err := kernel.TypeByName("sched_entity", &se); err != nil {
		return fmt.Errorf("struct sched_entity: %w", err)
	}
	for _, m := range se.Members {
		if m.Name == "vlag" {
			return ErrEEVDF
		}
	}
	var hook *btf.Func
	if err := kernel.TypeByName("alps_hook_bias", &hook); err != nil {
		return fmt.Errorf("%w (%w)", ErrNoHooks, err)
	}
	return nil
}

// switchProgram picks the observer of sched_switch by the order of the
// tracepoint's arguments: (preempt, prev, next, …), but in 5.18's release
// candidates (preempt, prev_state, prev, next).
func switchProgram(kernel *btf.Spec) (string, error) {
	var td *btf.Typedef
	if err := kernel.TypeByName("btf_trace_sched_switch", &td); err != nil {
		return "", fmt.Errorf("load BPF: tracepoint sched_switch: %w", err)
	}
	ptr, ok := btf.UnderlyingType(td.Type).(*btf.Pointer)
	if !ok {
		return "", fmt.Errorf("load BPF: tracepoint sched_switch: unexpected type %v", td.Type)
	}
	proto, ok := ptr.Target.(*btf.FuncProto)
	// Argument 0 is the tracepoint's private data, 1 is preempt.
	if !ok || len(proto.Params) < 4 {
		return "", fmt.Errorf("load BPF: tracepoint sched_switch: unexpected type %v", ptr.Target)
	}
	if _, ok := btf.UnderlyingType(proto.Params[2].Type).(*btf.Pointer); ok {
		return alpsProgObserveSwitch, nil
	}
	return alpsProgObserveSwitch518, nil
}

// renameParent makes the programs call a kernfs node's parent as the kernel
// does: __parent since 6.15. In C a choice between the two would be safe only if
// the compiler never moved an offset to where it is computed needlessly.
func renameParent(own, kernel *btf.Spec) {
	node := func(s *btf.Spec) []btf.Member {
		var st *btf.Struct
		if err := s.TypeByName("kernfs_node", &st); err != nil {
			return nil
		}
		return st.Members
	}
	for _, m := range node(kernel) {
		if m.Name != "__parent" {
			continue
		}
		for i, m := range node(own) {
			if m.Name == "parent" {
				node(own)[i].Name = "__parent"
			}
		}
	}
}
