// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

func TestLimitsReachDocker(t *testing.T) {
	c := config.Default(t.TempDir())
	c.Limits = config.Limits{Procs: 7, MemMB: 64, CPUPercent: 150, MaxRuntimeDefault: 9}
	c.Sched, c.CPUs, c.DockerRuntime, c.Network = "rr", "1-3,5", "runsc", "none"
	c.PkgsDir = t.TempDir()
	p, err := New(parsed(t, c), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	o := p.create(sandbox.Spec{Function: config.Function{Name: "f", UID: "4"}, CodeDir: "/code", HostDir: "/scratch"})
	h := o.HostConfig
	require.EqualValues(t, 7, *h.PidsLimit)
	require.EqualValues(t, 64<<20, h.Memory)
	require.EqualValues(t, 64<<20, h.MemorySwap, "swappiness 0: no swap")
	require.EqualValues(t, 1.5e9, h.NanoCPUs)
	require.Equal(t, "1-3,5", h.CpusetCpus)
	require.Equal(t, "alps.slice", h.CgroupParent)
	require.Equal(t, "runsc", h.Runtime)
	require.EqualValues(t, "none", h.NetworkMode)
	require.Equal(t, []string{"SYS_NICE"}, h.CapAdd, "for sched")
	require.Equal(t, []string{"/code:/handler:ro", "/scratch:/host", c.PkgsDir + ":/packages:ro"}, h.Binds)
	require.Equal(t, []string{"python3", "/host/server.py", "import", "rr", "1", "/handler", "/host"}, o.Config.Cmd)

	c.Limits, c.Sched = config.Limits{MemMB: 64, Swappiness: 40}, "normal"
	p, err = New(parsed(t, c), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	h = p.create(sandbox.Spec{}).HostConfig
	require.EqualValues(t, -1, h.MemorySwap)
	require.EqualValues(t, 40, *h.MemorySwappiness)
	require.Nil(t, h.PidsLimit)
	require.Zero(t, h.NanoCPUs)
	require.Empty(t, h.CapAdd)
}

// parsed is c as a worker that reads it would have it.
func parsed(t *testing.T, c config.Config) config.Config {
	c, err := config.Parse("config.json", c.JSON(), nil)
	require.NoError(t, err)
	return c
}

// The labels say what an invocation is, which depends on where handlers run.
func TestLabels(t *testing.T) {
	for mode, want := range map[string]map[string]string{
		config.Import: {"alps.function.source": "busy", "alps.function.concurrency": "1"},
		config.Fork:   {"alps.function.source": "process"},
		config.Exec:   {"alps.function.source": "process"},
	} {
		c := config.Default(t.TempDir())
		c.Invocation = mode
		d, err := New(parsed(t, c), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		want["alps.function.uid"], want["alps.function.name"], want["ol.cluster"] = "7", "f", c.WorkerDir
		require.Equal(t, want, d.create(sandbox.Spec{Function: config.Function{Name: "f", UID: "7"}}).Config.Labels)
	}
}
