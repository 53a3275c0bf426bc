// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Workload is a mix of functions.
type Workload struct {
	Name    yamlx.At[string] `yaml:"name"`
	Trace   yamlx.At[string] `yaml:"trace"` // a file in the compact form (trace.Read), relative to this one
	Gap     Gap              `yaml:"gap"`   // between generated rows: where there is no trace, or it is not replayed
	Classes []Class          `yaml:"classes"`

	Like  yamlx.At[string] `yaml:"like"` // another workload's file, relative to this one: all but name, burst and drift is taken from there
	Burst *Burst           `yaml:"burst"`
	Drift *Drift           `yaml:"drift"`

	// Of runs in guests in the deployment paper; 0: the load that is asked for decides.
	ClientFactor yamlx.At[float64] `yaml:"client_factor"` // at 90 % load the artifact's client sleeps so many ms per unit of a gap (trace.Artifact)

	// Of simulated runs: in a guest CPU times vary by themselves, and the load is known.
	Spread     yamlx.At[float64] `yaml:"spread"`      // relative standard deviation of CPU times within a class
	LoadFactor yamlx.At[float64] `yaml:"load_factor"` // every load of an experiment is multiplied by this; 0 is 1

	// Of simulated runs only; a part of engine vm refuses them.
	Population *Population `yaml:"population"` // nil once its functions are among Classes
	Flip       *Flip       `yaml:"flip"`

	Path string `yaml:"-"` // of its file; "": made of a trace

	rows      []trace.Row // of the trace
	populated bool        // Classes has a population's functions
}

// Gap is the distribution of the time between invocations, in units that a
// load turns into time.
type Gap struct {
	Distribution yamlx.At[string]  `yaml:"distribution"` // poisson or exponential
	Mean         yamlx.At[float64] `yaml:"mean"`         // in these units
	Batch        yamlx.At[float64] `yaml:"batch"`        // so many invocations of one function come together, on average; 0 is 1
}

// Class is one function with one argument.
type Class struct {
	Function yamlx.At[string]        `yaml:"function"`
	UID      yamlx.At[string]        `yaml:"uid"`
	Port     yamlx.At[string]        `yaml:"port"`
	Group    yamlx.At[string]        `yaml:"group"`
	N        yamlx.At[int]           `yaml:"n"`     // the function's argument
	Count    yamlx.At[int]           `yaml:"count"` // relative frequency; with a trace, how many rows of it are the class's
	CPU      yamlx.At[time.Duration] `yaml:"cpu"`   // CPU time of an invocation; with times the law's parameter
	Slow     *Slow                   `yaml:"slow"`
	Times    *Times                  `yaml:"times"`
}

// Slow says that a share of a class's invocations takes more CPU time, in simulated
// runs. A part of engine vm leaves out a factor up to maxGuestSlow, as it leaves out the
// spread, and refuses a larger one.
type Slow struct {
	Share  yamlx.At[float64] `yaml:"share"`  // of the class's invocations, in [0, 1]
	Factor yamlx.At[float64] `yaml:"factor"` // by which their CPU time is multiplied
}

// maxSpread keeps CPU times above 0 at three standard deviations.
const maxSpread = 0.3

// maxGuestSlow is up to which factor Slow is taken for the variation of CPU times, which
// guests have by themselves. Azure has 1.3.
const maxGuestSlow = 2

// maxHours is how much CPU time an invocation may take, as package alps/sim/setup says.
const maxHours = 24

// maxBatch is how many invocations may come together, on average.
const maxBatch = 100.0

// TraceClasses are the classes in package trace's form. Those that a drift leads
// to come last and have no share.
func (w Workload) TraceClasses() []trace.Class {
	total := 0
	for _, c := range w.Classes {
		total += c.Count.V
	}
	classes := w.all()
	out := make([]trace.Class, len(classes))
	for i, c := range classes {
		out[i] = trace.Class{Function: c.Function.V, UID: c.UID.V, Port: c.Port.V, Group: c.Group.V, N: c.N.V,
			CPU: c.CPU.V, Share: float64(c.Count.V) / float64(total)}
	}
	return out
}

// Rows is n rows, with burst and drift: those of the trace, from its beginning again
// when it is used up, or generated from seed where there is no trace.
func (w Workload) Rows(n int, seed uint64) []trace.Row {
	if w.rows != nil {
		return w.shape(trace.Repeat(w.rows, n))
	}
	return w.generate(n, 0, seed)
}

// Draw is Rows for a simulated run, in which every seed has a sequence of its own,
// with a trace, too: seed 1 has the trace as it is, another its blocks in another order.
func (w Workload) Draw(n int, seed uint64) []trace.Row {
	if w.rows != nil && seed != 1 {
		return w.shape(trace.Reorder(w.rows, n, seed))
	}
	return w.Rows(n, seed)
}

func (w Workload) generate(n, atLeast int, seed uint64) []trace.Row {
	classes := w.TraceClasses()[:len(w.Classes)]
	return w.shape(trace.Generate(classes, n, trace.Gap{Distribution: w.Gap.Distribution.V, Mean: w.Gap.Mean.V, Batch: w.Gap.Batch.V}, atLeast, seed))
}

// Demands draws the CPU time of each row. It is by the class's law, or the class's CPU
// time spread normally and cut off at three standard deviations. It is longer in the
// slow share of a class, and while a flip makes the class take longer.
func (w Workload) Demands(rows []trace.Row, seed uint64) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 0x64656d616e64))
	classes := w.all()
	out := make([]time.Duration, len(rows))
	for i, r := range rows {
		c := classes[r.Class]
		cpu, factor := c.CPU.V, 1.0
		if c.Times != nil {
			cpu = c.Times.draw(cpu, rng)
		} else if sd := w.Spread.V; sd > 0 {
			z := rng.NormFloat64()
			for z < -3 || z > 3 {
				z = rng.NormFloat64()
			}
			factor += sd * z
		}
		if c.Slow != nil && rng.Float64() < c.Slow.Share.V {
			factor *= c.Slow.Factor.V
		}
		if w.Flip.slow(i, r.Class) {
			factor *= w.Flip.Factor.V
		}
		out[i] = time.Duration(float64(cpu) * factor)
	}
	return out
}

// FindWorkload loads the workload that a person names: one of workloads/ in own, the
// path of a workload's YAML, or the path of a trace in the artifact's form. times is
// the path of the YAML with the CPU times of such a trace; else "".
func FindWorkload(own fs.FS, name, times string) (Workload, error) {
	if times == "" {
		if w, err := LoadWorkload(own, path.Join("workloads", name+".yaml")); err == nil || !isNotExist(err) {
			return w, err
		}
	}
	st, err := fs.Stat(Disk{}, name)
	if err != nil || st.IsDir() {
		wrong := "no such file"
		if err == nil {
			wrong = "a directory"
		}
		names, _ := fs.Glob(own, "workloads/*.yaml")
		for i, n := range names {
			names[i] = strings.TrimSuffix(path.Base(n), ".yaml")
		}
		return Workload{}, fmt.Errorf("workload %q: %s; allowed: %s, or the path of a workload's YAML or of a trace", name, wrong, strings.Join(names, ", "))
	}
	if ext := path.Ext(name); ext == ".yaml" || ext == ".yml" {
		if times != "" {
			return Workload{}, fmt.Errorf("workload %s: it has CPU times of its own; -times is for a trace", name)
		}
		return LoadWorkload(Disk{}, name)
	}
	if times == "" {
		return Workload{}, fmt.Errorf("workload %s: a trace has no CPU times: give them by -times FILE.yaml", name)
	}
	return loadArtifact(name, times)
}

// LoadWorkload reads a workload's YAML and the trace it names.
func LoadWorkload(fsys fs.FS, file string) (Workload, error) {
	w, err := loadWorkload(fsys, file, false)
	w.Path = file
	return w, err
}

// loadWorkload is LoadWorkload. named says that the key like of another workload names
// this one, which must have no such key itself then.
func loadWorkload(fsys fs.FS, file string, named bool) (Workload, error) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return Workload{}, fmt.Errorf("workload: %w", err)
	}
	var w Workload
	if err := yamlx.Decode(file, data, &w); err != nil {
		return Workload{}, err
	}
	errs := &yamlx.Errors{File: file}
	switch {
	case w.Like.IsZero():
	case named:
		errs.Add(w.Like.Pos(), "like", "%q: another is like this one; let it name that", w.Like.V)
		return w, errs.Err()
	default:
		return w.likeAnother(fsys, file, errs)
	}
	w.check(errs)
	if err := errs.Err(); err != nil {
		return w, err
	}
	if w.Population != nil {
		w.Classes, w.Population, w.populated = w.Population.classes(w.Classes), nil, true
	}
	if w.Trace.V == "" {
		return w, nil
	}
	f, err := fsys.Open(path.Join(path.Dir(file), w.Trace.V))
	if err != nil {
		errs.Add(w.Trace.Pos(), "trace", "%v: give the path of a trace, relative to %s", err, path.Dir(file))
		return w, errs.Err()
	}
	defer f.Close()
	if w.rows, err = trace.Read(path.Join(path.Dir(file), w.Trace.V), f, len(w.Classes)); err != nil {
		return w, err
	}
	counts := make([]int, len(w.Classes))
	for _, r := range w.rows {
		counts[r.Class]++
	}
	for i, c := range w.Classes {
		if c.Count.V != counts[i] {
			errs.Add(c.Count.Pos(), fmt.Sprintf("classes[%d].count", i), "%d: the trace has %d; classes are numbered in this order", c.Count.V, counts[i])
		}
	}
	return w, errs.Err()
}

// onlySimulated says what of a workload only a simulation does; "" if there is nothing.
func (w Workload) onlySimulated() string {
	switch {
	case w.populated:
		return "it has a population"
	case w.Flip != nil:
		return "it has flip"
	}
	for i, c := range w.Classes {
		if c.Times != nil {
			return fmt.Sprintf("classes[%d] has times", i)
		}
		if c.Slow != nil && c.Slow.Factor.V > maxGuestSlow {
			return fmt.Sprintf("classes[%d] has a slow.factor above %d", i, maxGuestSlow)
		}
	}
	return ""
}

// checkOwn checks what a workload that is like another has of its own.
func (w Workload) checkOwn(errs *yamlx.Errors) {
	if !nameRE.MatchString(w.Name.V) {
		errs.Add(w.Name.Pos(), "name", "%q: a name such as huawei is needed", w.Name.V)
	}
	if w.Burst != nil {
		w.Burst.check(errs)
	}
	if w.Drift != nil {
		w.Drift.check(w.Classes, errs)
	}
}

func (w Workload) check(errs *yamlx.Errors) {
	w.checkOwn(errs)
	if d := w.Gap.Distribution; d.V != trace.Poisson && d.V != trace.Exponential {
		errs.Add(d.Pos(), "gap.distribution", "%q: allowed: %s, %s", d.V, trace.Poisson, trace.Exponential)
	}
	if !(w.Gap.Mean.V > 0 && w.Gap.Mean.V <= 1e6) {
		errs.Add(w.Gap.Mean.Pos(), "gap.mean", "%v is outside (0, 1e6]", w.Gap.Mean.V)
	}
	if !(w.Spread.V >= 0 && w.Spread.V <= maxSpread) {
		errs.Add(w.Spread.Pos(), "spread", "%v is outside [0, %v]", w.Spread.V, maxSpread)
	}
	if f := w.ClientFactor; f.V != 0 && !(f.V >= 0.001 && f.V <= 1000) {
		errs.Add(f.Pos(), "client_factor", "%v is outside [0.001, 1000]", f.V)
	}
	if f := w.LoadFactor; f.V != 0 && !(f.V >= 0.5 && f.V <= 2) {
		errs.Add(f.Pos(), "load_factor", "%v is outside [0.5, 2]", f.V)
	}
	if b := w.Gap.Batch; b.V != 0 && !(b.V >= 1 && b.V <= maxBatch) {
		errs.Add(b.Pos(), "gap.batch", "%v is outside [1, %v]", b.V, maxBatch)
	}
	if len(w.Classes) == 0 && w.Population == nil {
		errs.Add(yamlx.Pos{}, "classes", "missing; give at least one")
	}
	for i, c := range w.Classes {
		c.check(fmt.Sprintf("classes[%d].", i), errs)
	}
	if w.Population != nil {
		w.Population.check(len(w.Classes), errs)
		if w.Trace.V != "" {
			errs.Add(w.Trace.Pos(), "trace", "not beside a population")
		}
	}
	if w.Flip != nil {
		w.Flip.check(errs)
		w.checkLongest(errs)
	}
}

// checkLongest complains of a flip if an invocation takes longer than a run may have it.
func (w Workload) checkLongest(errs *yamlx.Errors) {
	for i, c := range w.Classes {
		cpu := c.CPU.V.Hours()
		if c.Times != nil {
			cpu = maxTime.Hours()
		}
		if c.Slow != nil {
			cpu *= c.Slow.Factor.V
		}
		if cpu *= w.Flip.Factor.V; cpu > maxHours {
			errs.Add(w.Flip.Factor.Pos(), "flip.factor", "%v: an invocation of classes[%d] may take %.0f hours; at most %d are allowed", w.Flip.Factor.V, i, cpu, maxHours)
		}
	}
}

func (c Class) check(at string, errs *yamlx.Errors) {
	if c.Function.V == "" {
		errs.Add(c.Function.Pos(), at+"function", "missing")
	}
	if n, err := strconv.Atoi(c.UID.V); err != nil || n < 0 {
		errs.Add(c.UID.Pos(), at+"uid", "%q: a number is needed", c.UID.V)
	}
	if n, err := strconv.Atoi(c.Port.V); err != nil || n < 1 || n > 65535 {
		errs.Add(c.Port.Pos(), at+"port", "%q: allowed: 1 to 65535", c.Port.V)
	}
	if !slices.Contains(results.Groups, c.Group.V) {
		errs.Add(c.Group.Pos(), at+"group", "%q: allowed: %s", c.Group.V, strings.Join(results.Groups, ", "))
	}
	if c.Count.V < 1 || c.Count.V > MaxInvocations {
		errs.Add(c.Count.Pos(), at+"count", "%d: allowed: 1 to %d", c.Count.V, MaxInvocations)
	}
	checkCPU(at, c.CPU, errs)
	if s := c.Slow; s != nil {
		if !(s.Share.V >= 0 && s.Share.V <= 1) {
			errs.Add(s.Share.Pos(), at+"slow.share", "%v is outside [0, 1]", s.Share.V)
		}
		if !(s.Factor.V >= 1 && s.Factor.V <= maxFactor) {
			errs.Add(s.Factor.Pos(), at+"slow.factor", "%v is outside [1, %v]", s.Factor.V, maxFactor)
		}
	}
	if c.Times != nil {
		c.Times.check(at, c.CPU.V, errs)
	}
}

func checkCPU(at string, cpu yamlx.At[time.Duration], errs *yamlx.Errors) {
	if cpu.V < time.Millisecond || cpu.V > time.Minute {
		errs.Add(cpu.Pos(), at+"cpu", "%s: allowed: 1ms to 1m", cpu.V)
	}
}
