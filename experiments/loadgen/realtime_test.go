// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/ring"
)

func TestTasks(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write("cg/f/cgroup.threads", "10\n11\n")
	write("cg/f/below/cgroup.threads", "12\n")
	write("cg/g/cgroup.threads", "13\n")
	tasks, err := tasksOf(filepath.Join(root, "cg/f"))
	require.NoError(t, err)
	require.ElementsMatch(t, []int{10, 11, 12}, tasks)
	_, err = tasksOf(filepath.Join(root, "cg/h"))
	require.ErrorIs(t, err, os.ErrNotExist)

	for tid, parent := range map[int]int{1: 0, 2: 0, 3: 2, 10: 9, 11: 9, 20: 1, 21: 1} {
		pid := tid
		if tid == 21 {
			pid = 20
		}
		write(fmt.Sprintf("proc/%d/task/%d/stat", pid, tid), fmt.Sprintf("%d (a ) 2 b) S %d 1 1 0\n", tid, parent))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/30/task/30"), 0o755)) // it ended just now
	tasks, err = systemTasks(filepath.Join(root, "proc"), []int{10, 11})
	require.NoError(t, err)
	require.ElementsMatch(t, []int{1, 20, 21}, tasks)
}

func TestPolicyIsSetAndTakenBack(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	require.NoError(t, sleep.Start())
	defer sleep.Process.Kill()
	pid := sleep.Process.Pid
	err := setPolicy([]int{pid}, unix.SCHED_RR, 3)
	ring.Need(t, ring.Root, !errors.Is(err, unix.EPERM), "real-time policies may not be set: CAP_SYS_NICE is needed")
	require.NoError(t, err)
	attr, err := unix.SchedGetAttr(pid, 0)
	require.NoError(t, err)
	require.EqualValues(t, unix.SCHED_RR, attr.Policy)
	require.EqualValues(t, 3, attr.Priority)
	require.NoError(t, setPolicy([]int{pid}, unix.SCHED_NORMAL, 0))
	attr, err = unix.SchedGetAttr(pid, 0)
	require.NoError(t, err)
	require.EqualValues(t, unix.SCHED_NORMAL, attr.Policy)
	require.NoError(t, setPolicy([]int{1 << 22}, unix.SCHED_RR, 3), "nobody has this number")
}
