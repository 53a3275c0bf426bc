// SPDX-License-Identifier: Apache-2.0

// Command init is the first program of a guest whose kernel keeps drivers in
// modules. It loads the modules that package initramfs put beside it, in their
// order, mounts the disk that the kernel's command line names (root=), and
// becomes that disk's /sbin/init.
//
// When it fails it says why on the console and exits. The kernel panics then,
// and QEMU tells of that.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	modulesList = "/modules" // paths of modules, one a line
	newRoot     = "/root"
	nextInit    = "/sbin/init"

	// diskLimit is how long the disk may take to show up after its driver. An
	// emulated guest on a busy host is slow.
	diskLimit = time.Minute
)

func main() {
	fmt.Fprintln(os.Stderr, "initramfs:", run()) // run returns only if it fails
	os.Exit(1)
}

// run becomes the disk's init (execve), or returns an error.
func run() error {
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	device, flags, err := rootOf(string(cmdline))
	if err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := await(device, diskLimit); err != nil {
		return err
	}
	if err := unix.Mount(device, newRoot, "ext4", flags, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return switchRoot()
}

// rootOf reads root=, ro and rw of a kernel's command line. As the kernel does, it
// takes the last of several.
func rootOf(cmdline string) (device string, flags uintptr, err error) {
	flags = unix.MS_RDONLY
	for word := range strings.FieldsSeq(cmdline) {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "root":
			device = value
		case "rw":
			flags &^= unix.MS_RDONLY
		case "ro":
			flags |= unix.MS_RDONLY
		}
	}
	if !strings.HasPrefix(device, "/dev/") {
		return "", 0, fmt.Errorf("kernel command line: root=%s: want the path of a device", device)
	}
	return device, flags, nil
}

// loadModules loads the modules of the list, and removes their files, which take up memory.
func loadModules() error {
	list, err := os.ReadFile(modulesList)
	if err != nil {
		return err
	}
	for path := range strings.FieldsSeq(string(list)) {
		if err := load(path); err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// await waits until path exists.
func await(path string, limit time.Duration) error {
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if time.Since(begun) > limit {
			return fmt.Errorf("no %s after %s", path, limit)
		}
	}
}

// switchRoot makes the disk the root directory, as switch_root(8) does, and
// runs its init.
func switchRoot() error {
	if err := unix.Mount("/dev", newRoot+"/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move /dev: %w", err)
	}
	if err := unix.Unmount("/proc", 0); err != nil {
		return fmt.Errorf("unmount /proc: %w", err)
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", newRoot, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", nextInit, unix.Exec(nextInit, []string{nextInit}, os.Environ()))
}
