// SPDX-License-Identifier: Apache-2.0

package sim

// fifo is SCHED_FIFO: who runs goes on to its end.
type fifo struct{ *rt }

func (f fifo) tick(core int, _ *task) bool { return f.overrun(core) }
