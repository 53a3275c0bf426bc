// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestTheCommandLineNamesTheDisk(t *testing.T) {
	for _, c := range []struct {
		cmdline, device string
		flags           uintptr
	}{
		{"root=/dev/vda rw console=ttyS0\n", "/dev/vda", 0},
		{"root=/dev/vda console=ttyS0", "/dev/vda", unix.MS_RDONLY},
		{"root=/dev/sda rw root=/dev/vda ro", "/dev/vda", unix.MS_RDONLY},
		{"rootwait=/dev/sda root=/dev/vda prw=1 rw", "/dev/vda", 0},
	} {
		device, flags, err := rootOf(c.cmdline)
		require.NoError(t, err, c.cmdline)
		require.Equal(t, c.device, device, c.cmdline)
		require.Equal(t, c.flags, flags, c.cmdline)
	}
	for _, cmdline := range []string{"", "rw quiet", "root=UUID=1234 rw"} {
		_, _, err := rootOf(cmdline)
		require.ErrorContains(t, err, "want the path of a device", cmdline)
	}
}

func TestADiskThatNeverShowsUpIsNamed(t *testing.T) {
	require.NoError(t, await("/dev/null", 0))
	require.EqualError(t, await("/dev/no-such-disk", time.Millisecond), "no /dev/no-such-disk after 1ms")
}
