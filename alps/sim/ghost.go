// SPDX-License-Identifier: Apache-2.0

package sim

import "time"

// ghostDecision is what a decision of a ghOSt agent costs (the paper's Table 3,
// local scheduling).
const ghostDecision = 1613 * time.Nanosecond

// ghost delegates another scheduler's decisions to an agent on each core: every
// message (a new task, a tick, an end) is answered by the agent, for which the
// core switches to it and back.
type ghost struct {
	scheduler
	m    *machine
	cost int64
}

func newGhost(m *machine, inner scheduler) *ghost {
	return &ghost{inner, m, int64(ghostDecision) + 2*int64(m.Switch)}
}

func (g *ghost) enqueue(core int, t *task) bool {
	g.m.steal(core, g.cost)
	return g.scheduler.enqueue(core, t)
}

func (g *ghost) tick(core int, t *task) bool {
	g.m.steal(core, g.cost)
	return g.scheduler.tick(core, t)
}

func (g *ghost) exit(core int, t *task) {
	g.m.steal(core, g.cost)
	g.scheduler.exit(core, t)
}
