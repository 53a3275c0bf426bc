// SPDX-License-Identifier: Apache-2.0

package vm

import "fmt"

// The model of time under VTime; docs/virtual-time.md says how the values were chosen.
// They are part of a snapshot's key, because QEMU's command line is.
const (
	// kernelLookaheadNS is how far privileged code of a CPU may be ahead of the
	// other CPUs. With a quarter of it a contended mutex costs the same, and with
	// four times as much 1/1.6 of that.
	kernelLookaheadNS = 1000
	// userLookaheadNS is the same for user code whose address space no other CPU
	// uses. An interrupt from another CPU comes late by as much at most.
	userLookaheadNS = 20_000
	// pauseNS is how long a PAUSE instruction takes.
	pauseNS = 50

	// vtimeCPU is a processor without fast string instructions. QEMU counts each of
	// their iterations as an instruction of 1 ns, and leaves its fast path for it:
	// clearing a page would take 4 µs of the guest, and 0.4 ms of the host.
	vtimeCPU = "max,erms=off,fsrm=off"
	// noRepGood makes the kernel believe that string instructions are slow.
	noRepGood = "clearcpuid=112" // X86_FEATURE_REP_GOOD

	// vtimeCPUs is how many CPUs a guest gets where nobody says: one for the
	// system, four for the functions.
	vtimeCPUs = 5
)

// vtimeArgs are machine, accelerator and processor for the QEMU that package qemu builds.
func vtimeArgs() []string {
	return []string{"-machine", "q35", "-accel", "tcg,thread=single", "-cpu", vtimeCPU,
		"-icount", fmt.Sprintf("shift=0,sleep=off,lookahead=%d,user-lookahead=%d,pause=%d", kernelLookaheadNS, userLookaheadNS, pauseNS),
		// Neither the host's clock nor its random numbers reach the guest.
		"-rtc", "clock=vm", "-seed", "1"}
}
