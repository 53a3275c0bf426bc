// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Times is how the CPU times of a class's invocations are distributed, in
// simulated runs. It takes the place of the workload's spread.
type Times struct {
	Law   yamlx.At[string]        `yaml:"law"`
	Shape yamlx.At[float64]       `yaml:"shape"` // of pareto the exponent, of lognormal the standard deviation of the logarithm
	Max   yamlx.At[time.Duration] `yaml:"max"`   // of pareto, where it is cut off
}

// Laws of CPU times.
const (
	LawExponential = "exponential" // cpu is the mean
	LawPareto      = "pareto"      // from cpu to max: most near cpu, a few near max
	LawLognormal   = "lognormal"   // cpu is the mean
)

// Population is many functions that are alike but for their CPU time and, with zipf,
// how often they are called. They become classes after those that are written out.
type Population struct {
	Functions yamlx.At[int]           `yaml:"functions"`
	Share     yamlx.At[float64]       `yaml:"share"`     // of all invocations; 1 without other classes
	Frequency yamlx.At[string]        `yaml:"frequency"` // equal, or zipf: the i-th is called 1/i times as often as the first
	From      yamlx.At[time.Duration] `yaml:"from"`      // CPU times of the functions are spread evenly over the logarithm
	To        yamlx.At[time.Duration] `yaml:"to"`
	Times     *Times                  `yaml:"times"` // of each function
	Seed      yamlx.At[uint64]        `yaml:"seed"`  // of the functions' CPU times
}

// Frequencies of a population's functions.
const (
	FrequencyEqual = "equal"
	FrequencyZipf  = "zipf"
)

// Flip makes every n-th class take longer during a number of the workload's
// invocations, then the classes before them, and so on, in simulated runs: the
// learnt times become wrong again and again.
type Flip struct {
	Every  yamlx.At[int]     `yaml:"every"`  // invocations of the workload after which other classes take longer
	N      yamlx.At[int]     `yaml:"n"`      // one class in so many takes longer
	Factor yamlx.At[float64] `yaml:"factor"` // by which their CPU time is multiplied
}

// slow says whether invocation i of the workload (from 0), one of class, takes longer.
func (f *Flip) slow(i, class int) bool { return f != nil && (i/f.Every.V+class)%f.N.V == 0 }

// Bounds of a CPU time that a law may give.
const (
	minTime = time.Microsecond
	maxTime = time.Minute
)

// draw draws a CPU time by the law. cpu is the class's.
func (t *Times) draw(cpu time.Duration, rng *rand.Rand) time.Duration {
	x := float64(cpu)
	switch t.Law.V {
	case LawExponential:
		x *= rng.ExpFloat64()
	case LawPareto:
		// The inverse of the distribution function, cut off at max.
		a := t.Shape.V
		beyond := math.Pow(x/float64(t.Max.V), a)
		x *= math.Pow(1-rng.Float64()*(1-beyond), -1/a)
	case LawLognormal:
		s := t.Shape.V
		x *= exp(s*rng.NormFloat64() - s*s/2)
	}
	return min(max(time.Duration(x), minTime), maxTime)
}

// exp is not math.Exp, whose last digit depends on the processor on amd64.
func exp(x float64) float64 { return math.Exp2(x * math.Log2E) }

func (t *Times) check(at string, cpu time.Duration, errs *yamlx.Errors) {
	shape := func(lo, hi float64) {
		if !(t.Shape.V > lo && t.Shape.V <= hi) {
			errs.Add(t.Shape.Pos(), at+"times.shape", "%v is outside (%v, %v]", t.Shape.V, lo, hi)
		}
	}
	switch t.Law.V {
	case LawExponential:
		if t.Shape.V != 0 {
			errs.Add(t.Shape.Pos(), at+"times.shape", "not for %s", t.Law.V)
		}
	case LawPareto:
		shape(0, 10)
		if t.Max.V <= cpu || t.Max.V > maxTime {
			errs.Add(t.Max.Pos(), at+"times.max", "%s is outside (cpu, %s]", t.Max.V, maxTime)
		}
		return
	case LawLognormal:
		shape(0, 3)
	default:
		errs.Add(t.Law.Pos(), at+"times.law", "%q: allowed: %s, %s, %s", t.Law.V, LawExponential, LawPareto, LawLognormal)
	}
	if t.Max.V != 0 {
		errs.Add(t.Max.Pos(), at+"times.max", "only for %s", LawPareto)
	}
}

func (p *Population) check(classes int, errs *yamlx.Errors) {
	if p.Functions.V < 1 || p.Functions.V > maxFunctions {
		errs.Add(p.Functions.Pos(), "population.functions", "%d: allowed: 1 to %d", p.Functions.V, maxFunctions)
	}
	if classes == 0 && p.Share.V != 1 || !(p.Share.V > 0 && p.Share.V <= 1) || classes > 0 && p.Share.V == 1 {
		errs.Add(p.Share.Pos(), "population.share", "%v: allowed: 1 without other classes, in (0, 1) beside others", p.Share.V)
	}
	if f := p.Frequency.V; f != FrequencyEqual && f != FrequencyZipf {
		errs.Add(p.Frequency.Pos(), "population.frequency", "%q: allowed: %s, %s", f, FrequencyEqual, FrequencyZipf)
	}
	checkCPU("population.from: ", p.From, errs)
	checkCPU("population.to: ", p.To, errs)
	if p.To.V <= p.From.V {
		errs.Add(p.To.Pos(), "population.to", "%s is not above from", p.To.V)
	}
	if p.Times != nil {
		p.Times.check("population.", p.From.V, errs)
	}
}

// maxFunctions is how many functions a population may have.
const maxFunctions = 10_000

// classes are the others, with their counts multiplied, and behind them the
// population's functions.
func (p *Population) classes(others []Class) []Class {
	rng := rand.New(rand.NewPCG(p.Seed.V, 0x706f70))
	frequency := make([]float64, p.Functions.V)
	all := 0.0
	for i := range frequency {
		frequency[i] = 1
		if p.Frequency.V == FrequencyZipf {
			frequency[i] = 1 / float64(i+1)
		}
		all += frequency[i]
	}
	// Counts are whole numbers: the others' are multiplied, so that rounding changes
	// little of how often a function is called.
	const fine = 1000
	total := 0.0
	for i := range others {
		others[i].Count.V *= fine
		total += float64(others[i].Count.V)
	}
	if total == 0 {
		total = fine * float64(p.Functions.V)
	} else {
		total *= p.Share.V / (1 - p.Share.V)
	}
	out := others
	ratio := math.Log(float64(p.To.V) / float64(p.From.V))
	for i, f := range frequency {
		cpu := time.Duration(float64(p.From.V) * exp(rng.Float64()*ratio)).Round(time.Microsecond)
		out = append(out, Class{Function: value(fmt.Sprintf("p%d", i+1)), UID: value(strconv.Itoa(10_000 + i)), Port: value("1"), Group: value(results.GroupOf(cpu)),
			N: value(1), Count: value(max(int(math.Round(f/all*total)), 1)), CPU: value(cpu), Times: p.Times})
	}
	return out
}

func (f *Flip) check(errs *yamlx.Errors) {
	if f.Every.V < 1 || f.Every.V > MaxInvocations {
		errs.Add(f.Every.Pos(), "flip.every", "%d: allowed: 1 to %d", f.Every.V, MaxInvocations)
	}
	if f.N.V < 2 || f.N.V > maxFunctions {
		errs.Add(f.N.Pos(), "flip.n", "%d: allowed: 2 to %d", f.N.V, maxFunctions)
	}
	if !(f.Factor.V > 1 && f.Factor.V <= maxFactor) {
		errs.Add(f.Factor.Pos(), "flip.factor", "%v is outside (1, %v]", f.Factor.V, maxFactor)
	}
}

// maxFactor is by how much a CPU time may be multiplied.
const maxFactor = 100.0

// Varies says whether CPU times within a class differ so much that an invocation's
// group is that of its own CPU time. A spread alone leaves it the class's.
func (w Workload) Varies() bool {
	if w.Flip != nil {
		return true
	}
	for _, c := range w.Classes {
		if c.Times != nil || c.Slow != nil {
			return true
		}
	}
	return false
}
