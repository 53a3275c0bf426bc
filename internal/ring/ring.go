// SPDX-License-Identifier: Apache-2.0

// Package ring decides whether a test can run here.
//
// A ring is a thing that a test needs beside Go: a program, a right, a guest. A test
// whose ring is missing skips, and names the ring. The environment variable MUST_RUN
// lists rings, with commas between them, whose tests fail instead of skipping: then
// either all tests of a ring run, or there is an error.
package ring

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Ring is a name in MUST_RUN.
type Ring string

const (
	Python   Ring = "python"   // python3 with igraph: the functions
	Clang    Ring = "clang"    // clang-14: the BPF objects byte for byte
	Network  Ring = "network"  // a mirror of Debian's packages
	QEMU     Ring = "qemu"     // QEMU without a guest in it
	KVM      Ring = "kvm"      // a /dev/kvm that opens, in software or not
	Chromium Ring = "chromium" // the report in a browser
	Root     Ring = "root"     // mounts, real-time policies, BPF without hooks
	Guest    Ring = "guest"    // a guest, made by the target test:guest
	Docker   Ring = "docker"   // inside the guest: its Docker
	Hook     Ring = "hook"     // inside the guest: a kernel with the hooks
	Trace    Ring = "trace"    // inside the guest: a kernel that the observer traces
	Window   Ring = "window"   // inside the guest: the memory it shares with the host
	SMP      Ring = "smp"      // inside the guest: several CPUs in virtual time
	Hooks    Ring = "hooks"    // a guest whose kernel has the hooks
	NoHooks  Ring = "nohooks"  // a guest whose kernel has none: test:guest -kernel=6.12
	SchedExt Ring = "schedext" // a guest whose kernel has sched_ext: test:guest -kernel=6.12
	Peers    Ring = "peers"    // a guest with the kernel that the peers come from: test:guest -kernel=7.3
	Long     Ring = "long"     // minutes to hours: test:weekly, testKill, kernel:soak
	Upstream Ring = "upstream" // OpenLambda's own ol, named by OL_UPSTREAM
)

// EnvMustRun lists rings whose tests fail where they cannot run.
const EnvMustRun = "MUST_RUN"

// All are the rings.
func All() []Ring {
	return []Ring{Python, Clang, Network, QEMU, KVM, Chromium, Root, Guest, Docker, Hook, Trace, Window, SMP, Hooks, NoHooks, SchedExt, Peers, Long, Upstream}
}

// Must reports whether the tests of r have to run.
func Must(r Ring) bool {
	return slices.Contains(strings.Split(os.Getenv(EnvMustRun), ","), string(r))
}

// Need lets the test go on if ok; else the test skips, or fails if r must run. why, a
// format for args, says what is missing and how to have it.
func Need(t testing.TB, r Ring, ok bool, why string, args ...any) {
	t.Helper()
	if ok {
		return
	}
	msg := fmt.Sprintf("ring %s: %s", r, fmt.Sprintf(why, args...))
	if Must(r) {
		t.Fatal(msg)
	}
	t.Skip(msg)
}
