// SPDX-License-Identifier: Apache-2.0

package ghost

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/bpf/internal/schedext"
)

// What Go and C call by the same name has the same form.
func TestMessagesAndCommitsAreTheProgramsOwn(t *testing.T) {
	m, err := decode(binary.LittleEndian.AppendUint64(nil, 1))
	require.ErrorContains(t, err, "message of 8 bytes")
	require.Zero(t, m)
	raw, err := binary.Append(nil, binary.LittleEndian, []uint64{1, 2, 3, 4, 1<<32 | 5})
	require.NoError(t, err)
	m, err = decode(raw)
	require.NoError(t, err)
	require.Equal(t, Message{Seq: 1, Cgroup: 2, CPU: 3 * time.Nanosecond, Left: 4, PID: 5, What: Blocked}, m)

	for _, g := range generations {
		spec, err := g.Load()
		require.NoError(t, err)
		var c *btf.Struct
		require.NoError(t, spec.Types.TypeByName("commit", &c))
		require.EqualValues(t, binary.Size(commit{}), c.Size, g.Name)
	}
}

// The scheduler takes only tasks that ask for it, and leaves no decision to the
// kernel that is the agent's.
func TestOperations(t *testing.T) {
	for _, g := range generations {
		t.Run(g.Name, func(t *testing.T) { testOperations(t, g) })
	}
}

func testOperations(t *testing.T, g schedext.Object) {
	spec, err := g.Load()
	require.NoError(t, err)
	ops := spec.Maps["alps_ghost"]
	require.Equal(t, ebpf.StructOpsMap, ops.Type)
	for name, p := range spec.Programs {
		if name == "ghost_commit" {
			require.Equal(t, ebpf.Syscall, p.Type)
			continue
		}
		if name == "ghost_switch" {
			require.Equal(t, "ghost619", g.Name)
			require.Equal(t, "sched_switch", p.AttachTo)
			continue
		}
		require.Equal(t, ebpf.StructOps, p.Type, name)
		require.Equal(t, "sched_ext_ops:"+name[len("ghost_"):], p.AttachTo)
	}
	var st *btf.Struct
	require.NoError(t, spec.Types.TypeByName("sched_ext_ops", &st))
	for _, m := range st.Members {
		if m.Name == "flags" {
			const enqueueLast, switchPartial = 1 << 1, 1 << 3
			require.EqualValues(t, enqueueLast|switchPartial, binary.LittleEndian.Uint64(ops.Contents[0].Value.([]byte)[m.Offset.Bytes():]))
		}
	}
}
