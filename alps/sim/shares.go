// SPDX-License-Identifier: Apache-2.0

package sim

import "math"

// nice0 is the weight of a task, and of a whole group over all cores
// (NICE_0_LOAD, cpu.weight 100).
const nice0 = 1024

// minShares is the least weight of a group's entity (MIN_SHARES).
const minShares = 2

// fading is a number that fades from a moment on.
type fading struct {
	n  float64
	at int64
}

// shares is a group's weight on one core: its part of the group's weight is
// that core's part of the group's load (calc_group_shares). The kernel's load
// follows with some delay; here new tasks count at once and ended ones fade.
func (f *fair) shares(e *entity) int64 {
	g := e.my.group
	here, all := e.my.tasks*nice0, float64(f.runs[g])
	if f.m.ShareLag > 0 {
		all += f.faded(g)
	}
	if all <= 0 {
		return nice0
	}
	return min(max(int64(float64(here)/all), minShares), nice0)
}

// faded is how much ended tasks still count in g's load.
func (f *fair) faded(g int32) float64 {
	x := &f.ended[g]
	if x.at < f.m.now {
		// Not math.Exp: on amd64 its last digit depends on the processor.
		x.n *= math.Exp2(-float64(f.m.now-x.at) / float64(f.m.ShareLag) * math.Log2E)
		x.at = f.m.now
	}
	return x.n
}

func (f *fair) reweight(q *fairQueue, e *entity) {
	if e.my == nil {
		return
	}
	w := f.shares(e)
	q.load += w - e.weight
	e.weight = w
}

func (f *fair) exit(core int, t *task) {
	for g := t.function; f.m.ShareLag > 0; g = f.tops {
		f.faded(g)
		f.ended[g].n++
		if g == f.tops || !f.inside(g) {
			break
		}
	}
	f.detach(t)
}
