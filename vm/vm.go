// SPDX-License-Identifier: Apache-2.0

// Package vm starts guests in QEMU, from a boot or from a snapshot, and runs commands in
// them.
//
// A guest is a kernel booted directly, a provisioned Debian disk (package disk) under a
// throw-away overlay, and a small read-only tools disk with our own binaries. QEMU is
// driven over QMP; commands run over ssh with a key of the cache's own. Nothing here
// needs root.
package vm

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// Accel is how QEMU runs the guest.
type Accel string

const (
	Auto   Accel = "auto"   // KVM if a probe guest boots under it, else TCG
	KVM    Accel = "kvm"    // hardware
	TCG    Accel = "tcg"    // emulation, several times slower
	VTime  Accel = "vtime"  // virtual time: emulation in which every CPU's clock counts its instructions
	Single Accel = "single" // emulation of all CPUs by one thread: slow, but safe where the kernel patches code under load
)

// ParseAccel reads an accelerator's name; "" is Auto.
func ParseAccel(s string) (Accel, error) {
	switch a := Accel(s); a {
	case "":
		return Auto, nil
	case Auto, KVM, TCG, VTime, Single:
		return a, nil
	case "icount":
		return "", errors.New("accel icount: it is now vtime, which has any number of CPUs (docs/virtual-time.md)")
	}
	return "", fmt.Errorf("accel %q: allowed: auto, kvm, tcg, vtime, single", s)
}

// Config is a guest. Kernel and Disk are required.
type Config struct {
	Kernel   string // bzImage
	Initrd   string // its initramfs; "" for a kernel with everything built in
	Disk     string // qcow2; not written to but with Writable
	Tools    string // ext4 image mounted at /opt/alps; "" for none
	Extra    string // one more raw disk, /dev/vdc (vdb without Tools); "" for none
	Accel    Accel  // as resolved: not Auto
	QEMU     string // path of the program; "": the distribution's. VTime needs that of package qemu
	CPUs     int    // 0: DefaultCPUs
	MemMiB   int    // 0: 2048
	Forwards []int  // guest TCP ports reachable on the same port of the host's loopback
	Shared   bool   // other processes may enter it: Open
	Writable bool   // write to Disk itself, not to an overlay
	Keep     string // disk changes are kept under this name; "": thrown away
	Share    string // directory of the host's, in the guest /mnt/share; "" for none
	GDBPort  int    // QEMU waits for gdb on this port of the loopback; 0: it does not
	Pin      []int  // CPUs of the host; the guest's i-th runs on Pin[i % len(Pin)]
	Detached bool   // the guest outlives this process: Stop ends it
	Window   int    // MiB of memory shared with the guest (package ivshmem), a power of 2; 0: none

	from    string // snapshot to start from; "": boot
	overlay string // where the overlay is to lie; "": with the guest's other files
	silent  bool   // it stands still until Do, and nobody talks to it over the network
}

// nameRE are the names of kept disks.
var nameRE = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

// maxCPUs is how many CPUs a guest can have at most.
const maxCPUs = 64

func (c Config) check() error {
	switch {
	case c.Kernel == "" || c.Disk == "":
		return errors.New("vm: Kernel and Disk are required")
	case c.CPUs < 0 || c.CPUs > maxCPUs:
		return fmt.Errorf("vm: %d CPUs: allowed 1 to %d", c.CPUs, maxCPUs)
	case c.Accel == VTime && c.QEMU == "":
		return errors.New("vm: virtual time needs the QEMU of package vm/qemu (go run mage.go vm:qemu)")
	case c.Keep != "" && !nameRE.MatchString(c.Keep):
		return fmt.Errorf("vm: -keep=%s: letters, digits, '.', '_' and '-' are allowed", c.Keep)
	case c.GDBPort < 0 || c.GDBPort > 65535:
		return fmt.Errorf("vm: gdb port %d: allowed 1 to 65535", c.GDBPort)
	case c.Window < 0 || c.Window&(c.Window-1) != 0:
		return fmt.Errorf("vm: a window of %d MiB: want a power of 2", c.Window)
	case c.MemMiB != 0 && c.MemMiB < 512:
		return fmt.Errorf("vm: %d MiB of memory: at least 512 are needed", c.MemMiB)
	}
	return nil
}

func (c Config) cpus() int {
	if c.CPUs > 0 {
		return c.CPUs
	}
	return DefaultCPUs(c.Accel)
}

func (c Config) qemu() string {
	if c.QEMU != "" {
		return c.QEMU
	}
	return "qemu-system-x86_64"
}

func (c Config) memMiB() int {
	if c.MemMiB > 0 {
		return c.MemMiB
	}
	return 2048
}

// paths are the files of one running guest.
type paths struct {
	dir     string // holds the others
	overlay string
	qmp     string // for the process that started it
	control string // for others: QEMU talks to one client per socket
	console string
	window  string
	sshPort int
}

// address is the path of a socket of p for QEMU, relative to p.dir, in which QEMU runs:
// the address of a socket holds 107 bytes, and the cache may lie deeper. The folder's
// name is in the path, so that QEMU's arguments say which guest it is (State.running).
func (p paths) address(socket string) string {
	if p.dir == "" {
		return socket
	}
	return filepath.Join("..", filepath.Base(p.dir), filepath.Base(socket))
}

// kernelArgs is the guest's command line.
func (c Config) kernelArgs() string {
	args := []string{"root=/dev/vda", "rw", "console=ttyS0", "panic=-1", "mitigations=off",
		"random.trust_cpu=on", "systemd.unified_cgroup_hierarchy=1", "audit=0",
		// Else the kernel compares an emulated guest's clocks while the host is busy,
		// finds the TSC unstable, and takes a slow clock.
		"tsc=reliable", "loglevel=4",
		// The network interface is eth0 from the start, without udev.
		"net.ifnames=0",
		// A timer that is late on a busy host is no reason to panic.
		"no_timer_check"}
	if c.Accel == VTime {
		args = append(args, noRepGood)
	}
	if c.Initrd != "" {
		// A distribution's kernel has AppArmor and SELinux, kernels built here have not.
		// With AppArmor Docker asks for its programs, which the guest has not; with only
		// that left out, SELinux would be on and slow every system call.
		args = append(args, "lsm=landlock,yama,bpf")
	}
	return strings.Join(args, " ")
}

// option is a path as part of an option of QEMU's, in which a comma ends the value.
func option(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// args is the QEMU command line. The same c and p give the same, in a fixed order: it is
// part of a snapshot's key.
func (c Config) args(p paths) []string {
	a := []string{c.qemu(), "-nodefaults", "-no-user-config", "-S",
		"-display", "none", "-vga", "none",
		// A guest that died stands still, to be looked at; Guest.watch reports it.
		"-action", "reboot=shutdown,panic=pause,watchdog=pause", "-device", "pvpanic-pci",
		"-smp", strconv.Itoa(c.cpus()), "-m", strconv.Itoa(c.memMiB())}
	switch c.Accel {
	case KVM:
		a = append(a, "-machine", "q35,accel=kvm", "-cpu", kvmCPU)
	case VTime:
		a = append(a, vtimeArgs()...)
	case Single:
		a = append(a, "-machine", "q35", "-accel", "tcg,thread=single,tb-size=512", "-cpu", "max")
	default:
		thread := "multi"
		if c.Initrd != "" {
			thread = "single" // see Single: such a kernel patches its code at all times
		}
		a = append(a, "-machine", "q35", "-accel", "tcg,thread="+thread+",tb-size=512", "-cpu", "max")
	}
	a = append(a, "-kernel", c.Kernel, "-append", c.kernelArgs())
	if c.Initrd != "" {
		a = append(a, "-initrd", c.Initrd)
	}
	// With ioeventfd another thread of QEMU serves a device, in the host's time.
	device := func(d string) string {
		if c.Accel == VTime {
			d += ",ioeventfd=off"
		}
		return d
	}
	disk := func(path, format string, ro bool) {
		opt := "if=none,id=d" + strconv.Itoa(len(a)) + ",file=" + option(path) + ",format=" + format + ",cache=unsafe"
		if ro {
			opt += ",read-only=on"
		}
		a = append(a, "-drive", opt, "-device", device("virtio-blk-pci,drive=d"+strconv.Itoa(len(a))))
	}
	if c.Writable {
		disk(c.Disk, "qcow2", false)
	} else {
		disk(p.overlay, "qcow2", false)
	}
	if c.Tools != "" {
		disk(c.Tools, "raw", true)
	}
	if c.Extra != "" {
		disk(c.Extra, "raw", true)
	}
	net := "user,id=n0,ipv6=off,hostfwd=tcp:127.0.0.1:" + strconv.Itoa(p.sshPort) + "-:22"
	for _, port := range c.Forwards {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", port, port)
	}
	if c.Accel != VTime {
		// Not in virtual time: there a guest's clock may run for minutes while it waits
		// for the host, and a source of entropy answers in the host's time.
		a = append(a, "-device", "i6300esb", "-device", "virtio-rng-pci")
	}
	if c.Window > 0 {
		a = append(a, "-object", fmt.Sprintf("memory-backend-file,id=window,size=%dM,share=on,mem-path=%s", c.Window, option(p.window)),
			"-device", "ivshmem-plain,memdev=window,master=on")
	}
	if c.Share != "" {
		a = append(a, "-virtfs", "local,id=share,path="+option(c.Share)+",mount_tag=share,security_model=none")
	}
	if c.from != "" {
		a = append(a, "-incoming", "defer")
	}
	if c.GDBPort > 0 {
		a = append(a, "-gdb", "tcp:127.0.0.1:"+strconv.Itoa(c.GDBPort))
	}
	return append(a, "-netdev", net, "-device", device("virtio-net-pci,netdev=n0,romfile="),
		"-chardev", "file,id=c0,path="+option(p.console), "-serial", "chardev:c0",
		"-qmp", "unix:"+p.address(p.qmp)+",server=on,wait=off", "-qmp", "unix:"+p.address(p.control)+",server=on,wait=off")
}

// Plan is the command line Start would run, with its own files named by
// placeholders. It starts nothing.
func Plan(c Config) ([]string, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.args(paths{overlay: "OVERLAY.qcow2", qmp: "QMP.sock", control: "CONTROL.sock", console: "CONSOLE.log", window: "WINDOW", sshPort: 2222}), nil
}

// DefaultCPUs is how many CPUs a guest gets where nobody says: under KVM as many as the
// host has, but 2 to 24; 5 in virtual time; 2 under plain emulation, where more only get
// in each other's way.
func DefaultCPUs(a Accel) int {
	switch a {
	case KVM:
		return min(max(runtime.NumCPU(), 2), 24)
	case VTime:
		return vtimeCPUs
	}
	return 2
}
