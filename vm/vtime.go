// SPDX-License-Identifier: Apache-2.0

package vm

import "fmt"

// The model of time under VTime; docs/virtual-time.md says how they were
// chosen. They are part of a snapshot's key, because QEMU's command line is.
const (
	// kernelLookaheadNS is how far privileged code of a CPU may be ahead of the
	// other CPUs. A contended mutex costs the same with a quarter of it, and
	// 1.6 times too little with four times as much.
	kernelLookaheadNS = 1000
	// userLookaheadNS is the same for user code whose address space no other
	// CPU uses. An interrupt from another CPU comes late by as much.
	userLookaheadNS = 20_000
	// pauseNS is what a PAUSE instruction takes.
	pauseNS = 50

	// vtimeCPU has no fast string instructions. QEMU counts each of their
	// iterations as an instruction of 1 ns and leaves its fast path for it: a
	// page would take 4 µs to clear, and 0.4 ms of the host.
	vtimeCPU = "max,erms=off,fsrm=off"
	// noRepGood has the kernel believe that string instructions are slow.
	noRepGood = "clearcpuid=112" // X86_FEATURE_REP_GOOD

	// vtimeCPUs is how many CPUs a guest gets where nobody says: one for the
	// system, four for the functions.
	vtimeCPUs = 5
)

// vtimeArgs is the accelerator of the QEMU that package qemu builds.
func vtimeArgs() []string {
	return []string{"-machine", "q35", "-accel", "tcg,thread=single", "-cpu", vtimeCPU,
		"-icount", fmt.Sprintf("shift=0,sleep=off,lookahead=%d,user-lookahead=%d,pause=%d", kernelLookaheadNS, userLookaheadNS, pauseNS),
		// Nothing of the host's comes in unasked: neither its clock nor chance.
		"-rtc", "clock=vm", "-seed", "1"}
}
