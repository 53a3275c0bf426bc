// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// mortal is a sandbox whose end the tests of this file make.
type mortal struct {
	sandbox.Sandbox
	t       *testing.T
	engine  *oltest.Docker
	process *oltest.Container
	cgroup  string
}

// startMortal starts a sandbox with a limit of its memory. If late is not 0, Docker hears of
// its end so much later than the kernel writes in its cgroup.
func startMortal(t *testing.T, mode string, late time.Duration) mortal {
	c := oltest.Config(t)
	c.Invocation, c.Limits.MemMB = mode, 50
	m := mortal{t: t, engine: oltest.StartDocker(t), cgroup: docker.SetCgroup(t, 4321)}
	require.NoError(t, os.MkdirAll(m.cgroup, 0o755))
	m.kernel(1, 0)
	m.engine.Late(late, 4321)
	t.Setenv("DOCKER_HOST", m.engine.Host())
	d, err := docker.New(oltest.Parsed(t, c), oltest.Log())
	require.NoError(t, err)
	code := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(code, "f.py"), []byte(oltest.Echo), 0o644))
	m.Sandbox, err = d.Start(t.Context(), sandbox.Spec{Function: config.Function{Name: "f", UID: "7"}, CodeDir: code, HostDir: oltest.ShortDir(t)})
	require.NoError(t, err)
	oltest.Eventually(t, func() bool { return m.engine.Count("wait") > 0 }, "the worker watches the sandbox")
	m.process = m.engine.Only()
	t.Cleanup(func() { require.NoError(t, m.Destroy(context.Background())) })
	return m
}

// kernel writes into the cgroup how many processes it has and how many were killed for want
// of memory.
func (m mortal) kernel(processes, kills int) {
	for file, text := range map[string]string{
		"cgroup.events": fmt.Sprintf("populated %d\nfrozen 0\n", processes),
		"memory.events": fmt.Sprintf("low 0\nmax 12\noom %d\noom_kill %d\n", kills, kills),
	} {
		require.NoError(m.t, os.WriteFile(filepath.Join(m.cgroup, file), []byte(text), 0o644))
	}
}

func (m mortal) kill() { require.NoError(m.t, m.process.Signal(syscall.SIGKILL)) }

var outOfMemory = sandbox.Death{Kind: "oom", Text: "it was out of memory: limits.mem_mb is 50"}

// The kernel's word is enough: Docker, which a busy host may keep from hearing of the end,
// is not waited for.
func TestDeathForWantOfMemoryBeforeDockerHears(t *testing.T) {
	m := startMortal(t, config.Import, 3*time.Second)
	m.kill()
	m.kernel(0, 1)
	require.Equal(t, outOfMemory, m.Death(t.Context()))
	select {
	case <-m.Dead():
		require.FailNow(t, "the test says nothing: Docker had heard of the end")
	default:
	}
	<-m.Dead()
	require.Equal(t, outOfMemory, m.Death(t.Context()), "when Docker has")
}

// If the kernel says that the container has no process, but not why, Docker is waited for
// as long as that takes.
func TestDeathWaitsForDockerIfTheContainerIsEmpty(t *testing.T) {
	m := startMortal(t, config.Import, 3*time.Second)
	m.kill()
	require.NoError(t, os.RemoveAll(m.cgroup))
	require.Equal(t, sandbox.Death{Kind: "signal", Text: "it was ended by signal 9 (SIGKILL)"}, m.Death(t.Context()))
}

// Docker may say that a process was killed before it says that memory was the reason.
func TestDeathWhoseReasonDockerHearsLast(t *testing.T) {
	m := startMortal(t, config.Import, 0)
	before := m.engine.Count("inspect")
	m.kill()
	oltest.Eventually(t, func() bool { return m.engine.Count("inspect") > before }, "the worker asks why it ended")
	m.process.OutOfMemory()
	require.Equal(t, outOfMemory, m.Death(t.Context()))
}

// Docker says of a container that was out of memory if any of its processes was killed for
// it, long ago: that is not why its server ended later.
func TestDeathAfterAnotherProcessWasOutOfMemory(t *testing.T) {
	m := startMortal(t, config.Import, 0)
	m.process.OutOfMemory()
	require.NoError(t, m.process.Signal(syscall.SIGTERM))
	require.Equal(t, sandbox.Death{Kind: "exit", Text: "its server ended with exit code 0"}, m.Death(t.Context()))
}

// Of invocations that end at the same time, as many were out of memory as the kernel killed.
func TestDeathOfSeveralInvocations(t *testing.T) {
	m := startMortal(t, config.Fork, time.Second)
	m.kernel(1, 2)
	require.Equal(t, outOfMemory, m.Death(t.Context()))
	require.Equal(t, outOfMemory, m.Death(t.Context()))
	require.Equal(t, sandbox.Death{}, m.Death(t.Context()), "the container has not ended, and nothing else was killed")
}
