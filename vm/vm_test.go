// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ours"
	"github.com/ds2-lab/alps/vm/qmp"
)

func plan(t *testing.T, c Config) string {
	args, err := Plan(c)
	require.NoError(t, err)
	return strings.Join(args, " ")
}

func TestPlan(t *testing.T) {
	c := Config{Kernel: "K", Disk: "D.qcow2", Tools: "T.raw", Accel: TCG}
	got := plan(t, c)
	require.Equal(t, got, plan(t, c), "the order of arguments is fixed")
	for _, want := range []string{"-smp 2 ", "-m 2048 ", "tcg,thread=multi", "-kernel K ", "file=OVERLAY.qcow2,format=qcow2", "file=T.raw,format=raw,cache=unsafe,read-only=on", "hostfwd=tcp:127.0.0.1:2222-:22", "-qmp unix:QMP.sock"} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "D.qcow2", "the disk itself is never written to")
	require.NotContains(t, got, "-initrd")
	require.NotContains(t, got, "lsm=")
	debian := c
	debian.Initrd = "I"
	require.Contains(t, plan(t, debian), "-initrd I ")
	require.Contains(t, plan(t, debian), "lsm=landlock,yama,bpf ", "neither AppArmor nor SELinux")
	require.Contains(t, plan(t, debian), "tcg,thread=single", "QEMU's threads run code that is half patched")
	c.Accel, c.QEMU = VTime, "Q"
	require.Contains(t, plan(t, c), "Q -nodefaults")
	require.Contains(t, plan(t, c), "-smp 5 ")
	require.Contains(t, plan(t, c), "-icount shift=0,sleep=off,lookahead=1000,")
	require.NotContains(t, got, "ioeventfd=off")
	require.Equal(t, 3, strings.Count(plan(t, c), "ioeventfd=off"), "two disks and the network")
	require.Contains(t, got, "-device i6300esb")
	require.NotContains(t, plan(t, c), "i6300esb")
	require.NotContains(t, plan(t, c), "virtio-rng", "it would answer in the host's time")
	require.NotContains(t, plan(t, c), "ivshmem")
	c.Window = 16
	require.Contains(t, plan(t, c), "size=16M,share=on,mem-path=WINDOW")
	c.Accel, c.QEMU = Single, ""
	require.Contains(t, plan(t, c), "-smp 2 ")
	require.Contains(t, plan(t, c), "tcg,thread=single")
	c.Accel = KVM
	require.Contains(t, plan(t, c), "accel=kvm -cpu host,arch-capabilities=off ")
	c.Writable = true
	require.Contains(t, plan(t, c), "file=D.qcow2")
	c = Config{Kernel: "K", Disk: "D.qcow2", Share: "/src", GDBPort: 1234, Forwards: []int{5002}}
	require.Contains(t, plan(t, c), "-virtfs local,id=share,path=/src,mount_tag=share")
	require.Contains(t, plan(t, Config{Kernel: "K", Disk: "D", Tools: "/a,b", Share: "/c,,d"}), "file=/a,,b,format=raw")
	require.Contains(t, plan(t, Config{Kernel: "K", Disk: "D", Share: "/c,,d"}), "path=/c,,,,d,mount_tag")
	require.Contains(t, plan(t, c), "-gdb tcp:127.0.0.1:1234")
	require.Contains(t, plan(t, c), ",hostfwd=tcp:127.0.0.1:5002-:5002")
}

func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]Config{
		"Kernel and Disk are required": {},
		"needs the QEMU of package":    {Kernel: "k", Disk: "d", Accel: VTime},
		"allowed 1 to 64":              {Kernel: "k", Disk: "d", CPUs: 65},
		"at least 512":                 {Kernel: "k", Disk: "d", MemMiB: 100},
		"-keep=../x: letters":          {Kernel: "k", Disk: "d", Keep: "../x"},
		"gdb port 70000":               {Kernel: "k", Disk: "d", GDBPort: 70000},
		"want a power of 2":            {Kernel: "k", Disk: "d", Window: 3},
	} {
		_, err := Plan(c)
		require.ErrorContains(t, err, want)
	}
	_, err := ParseAccel("hvf")
	require.EqualError(t, err, `accel "hvf": allowed: auto, kvm, tcg, vtime, single`)
	_, err = ParseAccel("icount")
	require.ErrorContains(t, err, "it is now vtime")
}

// QEMU runs in the guest's folder, wherever the paths are relative to.
func TestRelativePaths(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("qemu", []byte("#!/bin/sh\necho it runs >&2\nexit 7\n"), 0o755))
	_, err := Start(t.Context(), Config{Kernel: "k", Disk: "d", Writable: true, Accel: TCG, QEMU: "./qemu"})
	require.ErrorContains(t, err, "qemu: exit status 7: it runs")

	c, err := Config{Kernel: "k", Disk: "sub/d", QEMU: "qemu-system-x86_64"}.absolute()
	require.NoError(t, err)
	require.Equal(t, Config{Kernel: filepath.Join(dir, "k"), Disk: filepath.Join(dir, "sub/d"), QEMU: "qemu-system-x86_64"}, c)
}

// A snapshot is named by the files, and not by their names in this process's directory.
func TestSnapshotOfRelativePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("qemu", []byte("#!/bin/sh\necho QEMU 1\n"), 0o755))
	relative, err := Config{Kernel: "k", Disk: "d", QEMU: "./qemu"}.snapshotKey(t.Context(), Provision{})
	require.NoError(t, err)
	absolute, err := Config{Kernel: filepath.Join(dir, "k"), Disk: filepath.Join(dir, "d"), QEMU: filepath.Join(dir, "qemu")}.snapshotKey(t.Context(), Provision{})
	require.NoError(t, err)
	require.Equal(t, absolute, relative)
}

// A disk that is built again at the same path has other snapshots: the memory of the old
// ones knows blocks that are no longer there. The same holds for what was kept over it.
func TestSnapshotsAndKeptDisksAreOfTheDiskAsItWasBuilt(t *testing.T) {
	dir := t.TempDir()
	c := Config{Kernel: filepath.Join(dir, "k"), Disk: filepath.Join(dir, "d"), QEMU: filepath.Join(dir, "qemu")}
	require.NoError(t, os.WriteFile(c.QEMU, []byte("#!/bin/sh\necho QEMU 1\n"), 0o755))
	require.NoError(t, os.WriteFile(c.Disk, []byte("first"), 0o644))
	first, err := c.snapshotKey(t.Context(), Provision{})
	require.NoError(t, err)
	kept := filepath.Join(dir, "kept.qcow2")
	require.True(t, isOver(kept, c.Disk), "from before there was a note")
	require.NoError(t, os.WriteFile(kept+baseSuffix, []byte(built(c.Disk)), 0o644))
	require.True(t, isOver(kept, c.Disk))

	require.NoError(t, os.Remove(c.Disk))
	require.NoError(t, os.WriteFile(c.Disk, []byte("again"), 0o644))
	later := time.Now().Add(time.Second)
	require.NoError(t, os.Chtimes(c.Disk, later, later))
	again, err := c.snapshotKey(t.Context(), Provision{})
	require.NoError(t, err)
	require.NotEqual(t, first, again)
	require.False(t, isOver(kept, c.Disk))
}

func TestFindPanic(t *testing.T) {
	const console = "[    0.9] VFS: Cannot open root device\r\n[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n[    1.0] CPU: 0\r\n"
	require.Equal(t, "VFS: Unable to mount root fs on unknown-block(0,0)", findPanic(console))
	require.Empty(t, findPanic("all is well\n"))
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("1\r\n2\r\n3\r\n"), 0o644))
	require.Equal(t, "    2\n    3\n", Tail(path, 2))
	require.Equal(t, "    1\n    2\n    3\n", Tail(path, 9))
	require.Empty(t, Tail(path+"x", 9))
}

// A guest whose kernel finds no root must not be waited for.
func TestAGuestThatDoesNotBootIsReported(t *testing.T) {
	g := &Guest{Config: Config{Kernel: "/cache/kernel/abc/bzImage"}, paths: paths{console: filepath.Join(t.TempDir(), "c.log")}}
	require.NoError(t, os.WriteFile(g.paths.console, []byte("last words\n"), 0o644))
	err := g.failed(errors.New("no answer after 5m0s"))
	require.EqualError(t, err, "vm: boot abc: no answer after 5m0s\n    last words\n(console: "+g.paths.console+")")
}

func TestStatesOfTheDeadAreSwept(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	root, logs := filepath.Join(os.Getenv("ALPS_CACHE"), "run"), filepath.Join(os.Getenv("ALPS_CACHE"), "log")
	folder := func(name, id string) string {
		dir := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		// A process lives under the number, but it is not that guest's QEMU.
		state := fmt.Sprintf(`{"id": %q, "pid": %d, "ssh_port": 1, "shared": true}`, id, os.Getpid())
		require.NoError(t, os.WriteFile(filepath.Join(dir, stateName), []byte(state), 0o644))
		return dir
	}
	dead, lives, theirs, starting := folder("vm1", "vm1"), folder("vm2", "vm2"), folder("vm-notes", "vm-notes"), folder("vm4", "vm4")
	for _, dir := range []string{dead, theirs} {
		lock, err := ours.Hold(dir)
		require.NoError(t, err)
		lock.Close()
	}
	// Its QEMU may be in another container, where it has another number.
	lock, err := ours.Hold(lives)
	require.NoError(t, err)
	defer lock.Close()

	require.NoError(t, os.MkdirAll(logs, 0o755))
	old := time.Now().Add(-consoleAge - time.Hour)
	for _, name := range []string{"console-vm1.log", "console-of-my-own.log", "kernel.log"} {
		require.NoError(t, os.WriteFile(filepath.Join(logs, name), nil, 0o644))
		require.NoError(t, os.Chtimes(filepath.Join(logs, name), old, old))
	}

	_, err = Open(t.Context(), "")
	require.ErrorIs(t, err, ErrNoneRunning)
	sweep(root)
	require.NoDirExists(t, dead)
	for _, dir := range []string{lives, theirs, starting} {
		require.DirExists(t, dir)
	}
	require.NoFileExists(t, filepath.Join(logs, "console-vm1.log"))
	require.FileExists(t, filepath.Join(logs, "console-of-my-own.log"))
	require.FileExists(t, filepath.Join(logs, "kernel.log"))
}

// A state that names another folder than it lies in is not believed.
func TestAStateIsOfItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vm1")
	require.NoError(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, stateName)
	for id, want := range map[string]bool{"vm1": true, "vm2": false, "../../home": false, "": false} {
		require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintf(`{"id": %q}`, id)), 0o644))
		_, ok := readState(path)
		require.Equal(t, want, ok, id)
	}
}

func TestWhichGuest(t *testing.T) {
	guest := func(id, checkout string, shared bool) State { return State{ID: id, Checkout: checkout, Shared: shared} }
	one := guest("vm1", "/alps", true)
	for name, c := range map[string]struct {
		list       []State
		id, here   string
		want, says string
	}{
		"this checkout's":         {[]State{guest("vm0", "/other", true), one, guest("vm2", "/other", true)}, "", "/alps", "vm1", ""},
		"not one that measures":   {[]State{guest("vm2", "/alps", false), one}, "", "/alps", "vm1", ""},
		"by name, whoever's":      {[]State{one, guest("vm2", "/other", false)}, "vm2", "/alps", "vm2", ""},
		"several":                 {[]State{one, guest("vm2", "/alps", true)}, "", "/alps", "", "several guests of this checkout are running: say which by -id, one of vm1, vm2 (vm:list)"},
		"only another checkout's": {[]State{one, guest("vm2", "", true)}, "", "/other", "", ErrNoneRunning.Error() + "; or name another's by -id: vm1 of /alps, vm2 of no checkout"},
		"none":                    {nil, "", "/alps", "", ErrNoneRunning.Error()},
		"none of that name":       {[]State{one}, "vm7", "/alps", "", "no guest vm7 is running; there are: vm1"},
		"outside a checkout":      {[]State{one, guest("vm2", "", true)}, "", "", "vm2", ""},
	} {
		st, err := choose(c.list, c.id, c.here)
		require.Equal(t, c.want, st.ID, name)
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.EqualError(t, err, c.says, name)
		require.Equal(t, c.id == "" && !strings.HasPrefix(c.says, "several"), errors.Is(err, ErrNoneRunning), name)
	}
}

// What QEMU tells, and what it means.
func TestHowAGuestDied(t *testing.T) {
	shutdown := func(reason string) qmp.Event {
		return qmp.Event{Event: "SHUTDOWN", Data: map[string]any{"guest": true, "reason": reason}}
	}
	const panicked = "[    1.0] Kernel panic - not syncing: sysrq triggered crash\r\n"
	for _, c := range []struct {
		event   qmp.Event
		console string
		want    string
	}{
		{qmp.Event{Event: "GUEST_PANICKED"}, panicked, "its kernel panicked: sysrq triggered crash"},
		{qmp.Event{Event: "GUEST_PANICKED"}, "", "its kernel panicked"},
		{qmp.Event{Event: "WATCHDOG"}, "", "its watchdog fired: nothing ran in it for a while"},
		{shutdown("guest-reset"), "", "it reset itself: a triple fault, or somebody's reboot"},
		{shutdown("guest-reset"), panicked, "its kernel panicked: sysrq triggered crash"},
		{shutdown("guest-shutdown"), "", ""},
		{shutdown("host-qmp-quit"), "", ""},
		{qmp.Event{Event: "STOP"}, "", ""},
	} {
		g := &Guest{paths: paths{console: filepath.Join(t.TempDir(), "c.log")}, faults: newFaults(), exited: make(chan struct{})}
		require.NoError(t, os.WriteFile(g.paths.console, []byte(c.console), 0o644))
		events := make(chan qmp.Event, 2)
		events <- c.event
		events <- shutdown("guest-reset") // a consequence
		close(events)
		close(g.exited)
		g.watch(events)
		<-g.Gone()
		if c.want == "" && c.event.Event == "SHUTDOWN" {
			require.NoError(t, g.Fault())
			continue
		}
		var fault *Fault
		require.ErrorAs(t, g.Fault(), &fault)
		require.Equal(t, c.event.Event == "WATCHDOG", fault.Frozen)
		require.Equal(t, fault.Frozen, g.Froze(t.Context()))
		if c.want != "" {
			require.Equal(t, c.want, fault.What)
			require.Equal(t, Tail(g.paths.console, 40), fault.Lines)
		}
	}
}

// QEMU stops a guest whose disk it cannot write. Where it reports the error to the guest
// instead, the guest lives on.
func TestAGuestWhoseDiskCannotBeWrittenIsGone(t *testing.T) {
	failed := func(action string, full bool, reason string) qmp.Event {
		return qmp.Event{Event: "BLOCK_IO_ERROR", Data: map[string]any{"device": "d30", "operation": "write", "action": action, "nospace": full, "reason": reason}}
	}
	const overlay, image = "/proc/nowhere/overlay.qcow2", "/proc/image.qcow2"
	for want, c := range map[string]struct {
		event    qmp.Event
		writable bool
	}{
		"this host's file system /proc is full: QEMU could not write the guest's disk " + overlay + " and stopped the guest: free space there, or set ALPS_CACHE": {failed("stop", true, "No space left on device"), false},
		"this host's file system /proc is full: QEMU could not write the guest's disk " + image:                                                                   {failed("stop", true, "No space left on device"), true},
		"QEMU could not write the guest's disk " + overlay + " and stopped the guest (Input/output error): see what this host's kernel says of":                   {failed("stop", false, "Input/output error"), false},
		"": {failed("report", false, "Input/output error"), false},
	} {
		g := &Guest{Config: Config{Disk: image, Writable: c.writable}, paths: paths{overlay: overlay, console: filepath.Join(t.TempDir(), "c.log")}, faults: newFaults(), exited: make(chan struct{})}
		require.NoError(t, os.WriteFile(g.paths.console, nil, 0o644))
		events := make(chan qmp.Event)
		go g.watch(events)
		events <- c.event
		events <- qmp.Event{Event: "STOP"} // watch has dealt with the event before
		if want == "" {
			require.NoError(t, g.Fault())
			events <- qmp.Event{Event: "SHUTDOWN", Data: map[string]any{"reason": "host-qmp-quit"}}
		}
		close(events)
		close(g.exited)
		<-g.Gone()
		if want != "" {
			var fault *Fault
			require.ErrorAs(t, g.Fault(), &fault)
			require.Contains(t, fault.What, want)
			require.False(t, fault.Frozen)
		}
	}
}

func TestOldSnapshotsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	entry := func(name string) string {
		if len(name) > 1 {
			return filepath.Join(dir, name)
		}
		return filepath.Join(dir, strings.Repeat(name, 64))
	}
	now := time.Now()
	for i, name := range []string{"my memories", "a", "b", "c", "d"} {
		require.NoError(t, os.MkdirAll(entry(name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(entry(name), snapshotMemory), nil, 0o644))
		require.NoError(t, os.Chtimes(entry(name), now, now.Add(time.Duration(i)*time.Minute)))
	}
	require.NoError(t, os.Chtimes(entry("a"), now, now.Add(time.Hour)))
	prune(dir, 2)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{entry("a"), entry("d"), entry("my memories")}, left)
	prune(filepath.Join(dir, "none"), 2)
}

func TestKeyPairIsMadeOnce(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	a, err := KeyPair()
	require.NoError(t, err)
	b, err := KeyPair()
	require.NoError(t, err)
	require.Equal(t, a.PublicKey().Marshal(), b.PublicKey().Marshal())
	path := filepath.Join(os.Getenv("ALPS_CACHE"), "ssh", "id_ed25519")
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	require.NoError(t, os.WriteFile(path, []byte("torn"), 0o600))
	_, err = KeyPair()
	require.ErrorContains(t, err, "delete it")
}

// Processes that need the key for the first time at once have the same one: else a guest
// would not let in who started it.
func TestOneKeyPairForAllWhoAskAtOnce(t *testing.T) {
	for range 50 {
		t.Setenv("ALPS_CACHE", t.TempDir())
		keys := make([]string, 4)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				if k, err := KeyPair(); assert.NoError(t, err) {
					keys[i] = string(k.PublicKey().Marshal())
				}
			})
		}
		wg.Wait()
		require.Len(t, slices.Compact(keys), 1)
		files, err := os.ReadDir(filepath.Join(os.Getenv("ALPS_CACHE"), "ssh"))
		require.NoError(t, err)
		require.Len(t, files, 1)
	}
}

// Patience is the host's time, and a guest in virtual time is slower the more CPUs it
// has.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   time.Duration
	}{
		{Config{Accel: KVM, CPUs: 24}, time.Minute},
		{Config{Accel: TCG, CPUs: 4}, time.Minute},
		{Config{Accel: VTime, CPUs: 1}, 2 * time.Minute},
		{Config{Accel: VTime}, 3 * time.Minute},
		{Config{Accel: VTime, CPUs: 25}, 8 * time.Minute},
	} {
		require.Equal(t, c.want, c.config.Patience(time.Minute), "%+v", c.config)
	}
}
