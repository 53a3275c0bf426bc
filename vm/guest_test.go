// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/ring"
)

// guestConfig is a guest of the kernel and the disk that the target test:guest built.
func guestConfig(t *testing.T) Config {
	kernel := os.Getenv("ALPS_KERNEL")
	ring.Need(t, ring.Guest, kernel != "", "run the target test:guest, which sets ALPS_KERNEL")
	accel, why, err := Resolve(t.Context(), Auto, kernel)
	require.NoError(t, err)
	t.Logf("%s: %s", accel, why)
	return Config{Kernel: kernel, Initrd: os.Getenv("ALPS_INITRD"), Disk: os.Getenv("ALPS_DISK"), Accel: accel, Shared: true, MemMiB: 1024}
}

func startGuest(t *testing.T, c Config) *Guest {
	begun := time.Now()
	g, err := Start(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(g.kill)
	t.Logf("channel after %s", progress.Round(time.Since(begun)))
	return g
}

func TestGuest(t *testing.T) {
	c := guestConfig(t)
	ctx := t.Context()
	tools := t.TempDir()
	require.NoError(t, os.MkdirAll(tools+"/bin", 0o755))
	require.NoError(t, os.WriteFile(tools+"/bin/hello", []byte("#!/bin/sh\necho hello $1\n"), 0o755))
	var err error
	c.Tools, err = ToolsDisk(ctx, tools)
	require.NoError(t, err)
	c.Pin = []int{0}
	if c.Initrd == "" {
		c.Share = t.TempDir()
	}
	begun := time.Now()
	g := startGuest(t, c)

	t.Run("docker", func(t *testing.T) {
		require.NoError(t, g.WaitDocker(ctx, 2*time.Minute))
		t.Logf("Docker after %s", progress.Round(time.Since(begun)))
		out, err := g.Output(ctx, "docker info --format '{{.CgroupVersion}} {{.CgroupDriver}} {{.Driver}}'")
		require.NoError(t, err)
		require.Equal(t, "2 systemd overlay2", out)
		out, err = g.Output(ctx, "systemctl --failed --no-legend --plain")
		require.NoError(t, err)
		require.Empty(t, out, "units that failed")
		out, err = g.Output(ctx, "systemd-analyze")
		require.NoError(t, err)
		t.Log(out)
	})
	t.Run("exit code and streams", func(t *testing.T) {
		var out, errOut bytes.Buffer
		err := g.Run(ctx, Cmd{Line: "cat; echo bad >&2; exit 3", Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &errOut})
		var exit *ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 3, exit.Code)
		require.Equal(t, "in", out.String())
		require.Equal(t, "bad\n", errOut.String())
	})
	t.Run("terminal", func(t *testing.T) { testTerminal(t, g) })
	t.Run("tools disk is mounted and in PATH", func(t *testing.T) {
		out, err := g.Output(ctx, "hello world")
		require.NoError(t, err)
		require.Equal(t, "hello world", out)
	})
	t.Run("share", func(t *testing.T) {
		if c.Share == "" {
			c.Share = t.TempDir()
			_, err := Start(ctx, c)
			require.ErrorContains(t, err, "this kernel has no 9p")
			return
		}
		require.NoError(t, os.WriteFile(filepath.Join(c.Share, "in"), []byte("from the host"), 0o644))
		out, err := g.Output(ctx, "cat /mnt/share/in && echo from the guest >/mnt/share/out")
		require.NoError(t, err)
		require.Equal(t, "from the host", out)
		data, err := os.ReadFile(filepath.Join(c.Share, "out"))
		require.NoError(t, err)
		require.Equal(t, "from the guest\n", string(data))
	})
	t.Run("CPUs are pinned", func(t *testing.T) {
		threads, err := g.cpuThreads(ctx)
		require.NoError(t, err)
		require.Len(t, threads, 2)
		for _, tid := range threads {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", g.qemu.PID, tid))
			require.NoError(t, err)
			require.Contains(t, string(status), "\nCpus_allowed_list:\t0\n")
		}
	})
	t.Run("another process enters it", func(t *testing.T) {
		other, err := Open(ctx, g.ID)
		require.NoError(t, err)
		defer other.Detach()
		id, err := g.Output(ctx, "cat /proc/sys/kernel/random/boot_id")
		require.NoError(t, err)
		out, err := other.Output(ctx, "cat /proc/sys/kernel/random/boot_id")
		require.NoError(t, err)
		require.Equal(t, id, out)
	})
	t.Run("memory is dumped", func(t *testing.T) {
		st, err := Find(g.ID)
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "core")
		require.NoError(t, st.Dump(ctx, path))
		core, err := elf.Open(path)
		require.NoError(t, err)
		defer core.Close()
		require.Equal(t, elf.ET_CORE, core.Type)
		var size uint64
		for _, p := range core.Progs {
			if p.Type == elf.PT_LOAD {
				size += p.Filesz
			}
		}
		require.GreaterOrEqual(t, size, uint64(1024<<20), "all of its memory")
		out, err := g.Output(ctx, "echo goes on")
		require.NoError(t, err)
		require.Equal(t, "goes on", out)
	})
	t.Run("panic is reported with the console", func(t *testing.T) {
		fault := dies(t, g, "echo c >/proc/sysrq-trigger")
		require.Equal(t, "its kernel panicked: sysrq triggered crash", fault.What)
		require.Contains(t, fault.Lines, "Kernel panic - not syncing: sysrq triggered crash")
		require.Contains(t, fault.Lines, "sysrq_handle_crash", "the trace")
		// It stands still, to be looked at.
		st, err := Find(g.ID)
		require.NoError(t, err)
		how, err := st.Stop(ctx)
		require.NoError(t, err)
		require.Equal(t, "it was dead; QEMU ended it", how)
		_, err = Find(g.ID)
		require.ErrorContains(t, err, "no guest "+g.ID+" is running")
	})
}

// dies runs a line that kills the guest, beside a command that waits.
func dies(t *testing.T, g *Guest, line string) *Fault {
	waits := make(chan error, 1)
	go func() { waits <- g.Run(t.Context(), Cmd{Line: "sleep 1000"}) }()
	begun := time.Now()
	_ = g.Run(t.Context(), Cmd{Line: line})
	err := <-waits
	t.Logf("reported %s after the command was given", progress.Round(time.Since(begun)))
	require.ErrorIs(t, err, ErrGone)
	var fault *Fault
	require.ErrorAs(t, err, &fault)
	require.ErrorContains(t, err, g.Console())
	return fault
}

// A guest that is Detached and kept powers off by its button. A second one finds the
// changes of its disk, and its triple fault is reported.
func TestGuestKeepsItsDisk(t *testing.T) {
	c := guestConfig(t)
	name := fmt.Sprintf("test-%d", os.Getpid())
	c.Keep, c.Detached = name, true
	g := startGuest(t, c)
	disk := g.paths.overlay
	t.Cleanup(func() { os.Remove(disk) })
	_, err := g.Output(t.Context(), "echo kept >/root/file")
	require.NoError(t, err)
	twice := c
	_, err = Start(t.Context(), twice)
	require.ErrorContains(t, err, "lock", "two guests never write to one disk")
	st, err := Find(g.ID)
	require.NoError(t, err)
	require.Zero(t, st.Owner)
	how, err := st.Stop(t.Context())
	require.NoError(t, err)
	require.Equal(t, "powered off", how)
	<-g.Gone()
	require.NoError(t, g.Fault())

	c.Detached = false
	g = startGuest(t, c)
	out, err := g.Output(t.Context(), "cat /root/file")
	require.NoError(t, err)
	require.Equal(t, "kept", out)
	fault := dies(t, g, "echo triple >/sys/kernel/reboot/type; echo 1 >/sys/kernel/reboot/force; echo b >/proc/sysrq-trigger")
	require.Contains(t, fault.What, "triple fault")
}

// A guest from a snapshot has Docker at once, and its own disk.
func TestGuestSnapshot(t *testing.T) {
	c := guestConfig(t)
	for range 2 {
		begun := time.Now()
		s, err := TakeSnapshot(t.Context(), c, Provision{}, progress.New(os.Stderr))
		require.NoError(t, err)
		g, err := s.Start(t.Context())
		require.NoError(t, err)
		t.Logf("channel after %s", progress.Round(time.Since(begun)))
		out, err := g.Output(t.Context(), "docker version --format '{{.Server.Os}}'; ls /root; date +%Y")
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("linux\n", time.Now().Year()), out, "nothing of the one before")
		t.Logf("Docker after %s", progress.Round(time.Since(begun)))
		_, err = g.Output(t.Context(), "echo changed >/root/file; sync")
		require.NoError(t, err)
		require.NoError(t, g.Close())
	}
	c.Share = "/tmp"
	_, err := TakeSnapshot(t.Context(), c, Provision{}, nil)
	require.ErrorIs(t, err, ErrNoSnapshot)
}

// The watchdog fires in a guest in which a loop of the highest priority lets nothing
// else run.
func TestGuestWatchdog(t *testing.T) {
	c := guestConfig(t)
	c.CPUs = 1
	g := startGuest(t, c)
	out, err := g.Output(t.Context(), "busctl set-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager RuntimeWatchdogUSec t 8000000 && systemctl show -p RuntimeWatchdogUSec && ls /dev/watchdog")
	require.NoError(t, err)
	require.Equal(t, "RuntimeWatchdogUSec=8s\n/dev/watchdog", out)
	// Since 6.8 the kernel keeps a twentieth of each CPU for tasks that are not real-time, whatever sched_rt_runtime_us.
	fault := dies(t, g, "for f in /sys/kernel/debug/sched/*_server/cpu0/runtime; do [ ! -e $f ] || echo 0 >$f; done; echo -1 >/proc/sys/kernel/sched_rt_runtime_us; exec chrt -f 99 sh -c 'while :; do :; done'")
	require.Contains(t, fault.What, "watchdog fired")
}
