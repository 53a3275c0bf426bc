// SPDX-License-Identifier: Apache-2.0

// Package schedext chooses among objects of one sched_ext scheduler.
//
// The kernel's functions for such schedulers were renamed more than once, and a
// function is found by its full name. So a scheduler is built once for each
// generation of names, with the macro API set to the first kernel that has them:
//
//	612  scx_bpf_dispatch
//	613  scx_bpf_dsq_insert
//	619  scx_bpf_dsq_insert___v2; 701  scx_bpf_dsq_move_to_local___v2
package schedext

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// ErrNone means that the kernel cannot load such schedulers.
var ErrNone = errors.New("this kernel has no sched_ext (CONFIG_SCHED_CLASS_EXT, since 6.12)")

// Object is a scheduler built for one generation of names.
type Object struct {
	Name string
	Has  string // the function of the kernel that is named so since this generation
	Load func() (*ebpf.CollectionSpec, error)
}

// Choose is the first of objects that fits the kernel: newer generations come
// before older ones, because kernels keep old names for a while.
func Choose(kernel *btf.Spec, objects []Object) (Object, error) {
	var ops *btf.Struct
	if err := kernel.TypeByName("sched_ext_ops", &ops); err != nil {
		return Object{}, fmt.Errorf("%w (%w)", ErrNone, err)
	}
	for _, o := range objects {
		if types, err := kernel.AnyTypesByName(o.Has); err == nil && len(types) > 0 {
			return o, nil
		}
	}
	return Object{}, errors.New("the functions of this kernel's sched_ext have names that are not known: a newer ALPS is needed")
}
