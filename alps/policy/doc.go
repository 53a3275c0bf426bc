// SPDX-License-Identifier: Apache-2.0

// Package policy ranks functions by how soon they should run and says how long
// each may keep a CPU.
//
// Policy is ALPS's algorithm: the invocations of the last seconds are scheduled
// again by SRPT, shortest remaining time first. From the waiting times and the
// on-CPU segments that a function has in that schedule follow its rank and its
// time slice (Fu et al., USENIX ATC 2024, section 4; docs/policy.md has every
// parameter).
//
//	records ─▶ one core's share ─▶ SRPT ─▶ per function: waits, segments
//	                                        │
//	         []Decision ◀─ rank ◀─ tune ◀─ learn
//
// Steady is another policy: of each function's history it makes a table of what an
// invocation is worth by the CPU time it has used, its Gittins index.
//
//	records ─▶ histogram per function, and of all ─▶ Table: index, quantum end
//
// The package is pure: records in, decisions out. It reads no clock, opens no
// file and does not know that BPF exists, so the daemon and the simulator run
// the same code. Times are clock.KTime, lengths are time.Duration; both count whole
// nanoseconds, and the simulation is exact in them.
package policy
