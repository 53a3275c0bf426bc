// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Burst makes some of a run's invocations come faster than the others. The load is
// still the mean over the run.
type Burst struct {
	From   yamlx.At[float64] `yaml:"from"`   // begins when this fraction of the invocations has come, as 0.4
	To     yamlx.At[float64] `yaml:"to"`     // ends when this fraction of them has come
	Factor yamlx.At[float64] `yaml:"factor"` // gaps within are so many times shorter
}

// Drift makes functions be called with another argument from some invocation on.
type Drift struct {
	At yamlx.At[float64] `yaml:"at"` // fraction of the invocations that come before
	To []Drifted         `yaml:"to"`
}

// Drifted is the argument, group and CPU time that all invocations of a function
// have from then on.
type Drifted struct {
	UID   yamlx.At[string]        `yaml:"uid"`
	N     yamlx.At[int]           `yaml:"n"` // the function's argument
	Group yamlx.At[string]        `yaml:"group"`
	CPU   yamlx.At[time.Duration] `yaml:"cpu"`
}

// maxBurst is the largest Factor of a Burst.
const maxBurst = 100

// all are the classes, and after them those that a drift leads to.
func (w Workload) all() []Class {
	if w.Drift == nil {
		return w.Classes
	}
	out := slices.Clone(w.Classes)
	for _, d := range w.Drift.To {
		i := slices.IndexFunc(w.Classes, func(c Class) bool { return c.UID.V == d.UID.V })
		c := w.Classes[i]
		c.N, c.Group, c.CPU, c.Count = d.N, d.Group, d.CPU, yamlx.At[int]{}
		out = append(out, c)
	}
	return out
}

// shape changes rows by w's burst and drift, in place, and returns them.
func (w Workload) shape(rows []trace.Row) []trace.Row {
	drifted := map[string]int{} // UID → class
	if w.Drift != nil {
		for k, d := range w.Drift.To {
			drifted[d.UID.V] = len(w.Classes) + k
		}
	}
	for i := range rows {
		r, before := &rows[i], float64(i)/float64(len(rows))
		if b := w.Burst; b != nil && before >= b.From.V && before < b.To.V {
			r.Gap /= b.Factor.V
		}
		if d := w.Drift; d != nil && before >= d.At.V {
			if c, ok := drifted[w.Classes[r.Class].UID.V]; ok {
				r.Class = c
			}
		}
	}
	return rows
}

// likeAnother is the workload of the file w.Like, with w's name, burst and drift.
func (w Workload) likeAnother(fsys fs.FS, file string, errs *yamlx.Errors) (Workload, error) {
	if w.Classes != nil || w.Gap != (Gap{}) || !w.Trace.IsZero() || !w.Spread.IsZero() || !w.LoadFactor.IsZero() || !w.ClientFactor.IsZero() || w.Population != nil || w.Flip != nil {
		errs.Add(w.Like.Pos(), "like", "beside it only name, burst and drift are allowed; the rest is %s's", w.Like.V)
		return w, errs.Err()
	}
	other := path.Join(path.Dir(file), w.Like.V)
	base, err := loadWorkload(fsys, other, true)
	if isNotExist(err) {
		errs.Add(w.Like.Pos(), "like", "%v: give the path of a workload's YAML, relative to %s", err, path.Dir(file))
		return w, errs.Err()
	}
	if err != nil {
		return w, err
	}
	base.Name, base.Like, base.Burst, base.Drift = w.Name, w.Like, w.Burst, w.Drift
	base.checkOwn(errs) // the rest was checked with the other file
	return base, errs.Err()
}

func (b *Burst) check(errs *yamlx.Errors) {
	if !(b.From.V >= 0 && b.From.V < 1) {
		errs.Add(b.From.Pos(), "burst.from", "%v is outside [0, 1)", b.From.V)
	}
	if !(b.To.V > b.From.V && b.To.V <= 1) {
		errs.Add(b.To.Pos(), "burst.to", "%v is outside (from, 1]", b.To.V)
	}
	if !(b.Factor.V > 1 && b.Factor.V <= maxBurst) {
		errs.Add(b.Factor.Pos(), "burst.factor", "%v is outside (1, %d]", b.Factor.V, maxBurst)
	}
}

func (d *Drift) check(classes []Class, errs *yamlx.Errors) {
	if !(d.At.V > 0 && d.At.V < 1) {
		errs.Add(d.At.Pos(), "drift.at", "%v is outside (0, 1)", d.At.V)
	}
	if len(d.To) == 0 {
		errs.Add(d.At.Pos(), "drift.to", "missing; give at least one function")
	}
	seen := map[string]bool{}
	for i, x := range d.To {
		at := fmt.Sprintf("drift.to[%d].", i)
		if !slices.ContainsFunc(classes, func(c Class) bool { return c.UID.V == x.UID.V }) {
			errs.Add(x.UID.Pos(), at+"uid", "%q: no class has it", x.UID.V)
		}
		if seen[x.UID.V] {
			errs.Add(x.UID.Pos(), at+"uid", "%q is there twice", x.UID.V)
		}
		seen[x.UID.V] = true
		if !slices.Contains(results.Groups, x.Group.V) {
			errs.Add(x.Group.Pos(), at+"group", "%q: allowed: %s", x.Group.V, strings.Join(results.Groups, ", "))
		}
		checkCPU(at, x.CPU, errs)
	}
}
