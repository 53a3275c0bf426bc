// SPDX-License-Identifier: Apache-2.0

package schedext

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

// kernelWith is the type information of a kernel with these functions, and with
// sched_ext if ops.
func kernelWith(t *testing.T, ops bool, functions ...string) *btf.Spec {
	u64 := &btf.Int{Name: "u64", Size: 8}
	types := []btf.Type{u64}
	if ops {
		types = append(types, &btf.Struct{Name: "sched_ext_ops", Size: 8, Members: []btf.Member{{Name: "flags", Type: u64}}})
	}
	for _, f := range functions {
		types = append(types, &btf.Func{Name: f, Type: &btf.FuncProto{Return: u64}, Linkage: btf.StaticFunc})
	}
	b, err := btf.NewBuilder(types, nil)
	require.NoError(t, err)
	raw, err := b.Marshal(nil, nil)
	require.NoError(t, err)
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	return spec
}

// The newest names that a kernel has are the ones to use.
func TestChoose(t *testing.T) {
	objects := []Object{{Name: "new", Has: "insert___v2"}, {Name: "middle", Has: "insert"}, {Name: "old", Has: "dispatch"}}
	for want, functions := range map[string][]string{
		"new": {"insert", "insert___v2", "insert___v2_impl"}, "middle": {"dispatch", "insert"}, "old": {"dispatch"},
	} {
		got, err := Choose(kernelWith(t, true, functions...), objects)
		require.NoError(t, err)
		require.Equal(t, want, got.Name)
	}
	_, err := Choose(kernelWith(t, true, "another"), objects)
	require.ErrorContains(t, err, "a newer ALPS is needed")
	_, err = Choose(kernelWith(t, false, "insert"), objects)
	require.ErrorIs(t, err, ErrNone)
}
