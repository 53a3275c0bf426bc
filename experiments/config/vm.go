// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// VM is a part that runs in a guest: every series on every workload at every load.
type VM struct {
	Trace  yamlx.At[bool] `yaml:"trace"`  // replay the workloads' traces; false: rows are generated from what the workloads say of classes and gaps
	Worker *Worker        `yaml:"worker"` // nil: ours

	Deployment yamlx.At[string] `yaml:"deployment"` // what runs on which CPUs; "" is Apart

	// FunctionCPUs and Deployments, if given, ask for several guests, one for every
	// pair: every series on every workload at every load runs in each of them.
	FunctionCPUs []yamlx.At[int]    `yaml:"function_cpus"`
	Deployments  []yamlx.At[string] `yaml:"deployments"`

	Dir string `yaml:"-"` // of the experiment: paths of programs are relative to it

	Seed       uint64              `yaml:"-"`
	Mixes      []Workload          `yaml:"-"`
	MixNames   []yamlx.At[string]  `yaml:"-"` // of Mixes, as the part names them
	Loads      []yamlx.At[float64] `yaml:"-"`
	Series     []Series            `yaml:"-"`
	WorkerPath string              `yaml:"-"` // of the Worker's binary; "": ours
}

// Worker is an ol that is not ours.
type Worker struct {
	Binary yamlx.At[string] `yaml:"binary"` // path, relative to the experiment's folder
}

// Deployments say what runs on which CPUs, and how requests come.
const (
	// Apart keeps client, worker and daemon off the functions' CPUs: they have
	// CPU 0. An invocation is forked from a warm interpreter, and the gaps of the
	// trace are scaled so that the functions' CPU time makes the load.
	Apart = "apart"
	// AsPaper is the paper's (section 6): the worker and Docker share the CPUs of
	// the functions, client and daemon have CPU 0. Requests come as the paper's
	// client sends them (trace.Artifact), whatever load that makes, or, of a workload
	// whose client factor is not known, as in Apart. Each uses CPU
	// time of its container before its process begins, which models what the
	// paper's platform needs more than ours.
	AsPaper = "paper"
)

// Backends are the ways by which a policy reaches the kernel of a guest.
var Backends = []string{BackendHooks, BackendSCX}

// Values of Series.Backend.
const (
	BackendHooks = "hooks" // the patched kernel's
	BackendSCX   = "scx"   // sched_ext, of a kernel as it comes
)

// vmSchedulers are the schedulers that run in a guest.
var vmSchedulers = []string{"cfs", "alps", "steady", "sfs", "fifo", "rr", "ghost-cfs", "ghost-alps"}

// Oracles are schedulers that know, or claim to know, an invocation's burst. No
// kernel runs them: they schedule the arrivals and CPU times that another series
// measured.
var Oracles = []string{"srpt", "srpt-eb", "random", "random40"}

// VMSpec is a series as a guest executes it.
type VMSpec struct {
	Scheduler string
	Command   string              // of a program that decides; Scheduler is cfs then, under which the daemon only observes. "": none
	Delegated bool                // a process in user space decides, by sched_ext
	Order     string              // of alps
	Step      time.Duration       // of alps with order bounded: bias between neighbouring ranks
	Params    policy.Params       // of alps
	Steady    policy.SteadyParams // of steady
}

// VM is a guest's specification of the series.
func (s Series) VM() (VMSpec, error) {
	if s.Scheduler.isProgram() {
		return VMSpec{Scheduler: "cfs", Command: s.Scheduler.Command.V}, nil
	}
	var out VMSpec
	out.Scheduler, out.Delegated = strings.CutPrefix(s.scheduler().V, "ghost-")
	var err error
	switch {
	case out.Scheduler == Steady:
		out.Steady, err = steadyParams(s.Params)
		return out, err
	case !FollowsPolicy(out.Scheduler):
		return out, nil
	}
	out.Order, out.Step = cmp.Or(s.Order.V, model.OrderBounded), cmp.Or(s.Step.V, time.Second)
	out.Params, err = policyParams(s.Params)
	return out, err
}

func (c checker) vm(p part) *VM {
	v := p.VM
	v.Dir = c.dir
	v.Seed, v.Loads, v.Series = p.Seed.V, p.Loads, p.Series
	c.foreign(p, p.Sim, p.Host)
	v.Mixes, v.MixNames = c.workloads(p), p.Workloads
	c.loads(p)
	c.series(p, vmSchedulers)
	for i, x := range v.Series {
		at := fmt.Sprintf("series[%d].", i)
		if !x.Gaps.IsZero() || !x.Machine.IsZero() || x.Loads != nil {
			c.add(x.Name.Pos(), at+"name", "%q: gaps, machine and loads are not for engine vm", x.Name.V)
		}
		if !x.On.IsZero() {
			c.oracle(at, x, v.Series)
		}
		if b := x.Backend; !b.IsZero() {
			if !slices.Contains(Backends, b.V) {
				c.add(b.Pos(), at+"backend", "%q: allowed: %s", b.V, strings.Join(Backends, ", "))
			}
			if n := x.SchedulerName(); x.Scheduler.isProgram() || n != "alps" && n != Steady {
				c.add(b.Pos(), at+"backend", "only alps and steady have one")
			}
		}
	}
	if !v.Deployment.IsZero() && v.Deployments != nil {
		c.add(v.Deployment.Pos(), "deployment", "not beside deployments")
	}
	c.deployment("deployment", v.Deployment, v.Loads)
	for i, d := range v.Deployments {
		c.deployment(fmt.Sprintf("deployments[%d]", i), d, v.Loads)
	}
	for i, n := range v.FunctionCPUs {
		if n.V < 1 || n.V > MaxFunctionCPUs {
			c.add(n.Pos(), fmt.Sprintf("function_cpus[%d]", i), "%d: allowed: 1 to %d", n.V, MaxFunctionCPUs)
		}
	}
	if v.Worker != nil {
		b := v.Worker.Binary
		if v.WorkerPath = b.V; !filepath.IsAbs(b.V) {
			v.WorkerPath = filepath.Join(c.dir, b.V)
		}
		if st, err := os.Stat(v.WorkerPath); err != nil || st.IsDir() || st.Mode()&0o111 == 0 {
			c.add(b.Pos(), "worker.binary", "%q: give the path of an executable ol, relative to %s", b.V, c.dir)
		}
	}
	for i, mix := range v.Mixes {
		if v.Trace.V && mix.rows == nil {
			c.add(v.Trace.Pos(), "trace", "workload %s names no trace", p.Workloads[i].V)
		}
		if why := mix.onlySimulated(); why != "" {
			c.add(p.Workloads[i].Pos(), fmt.Sprintf("workloads[%d]", i), "%q: %s, which no guest does: use it in a part of engine sim", p.Workloads[i].V, why)
		}
	}
	return &v
}

// MaxFunctionCPUs is how many CPUs the functions of a guest may have.
const MaxFunctionCPUs = 63

// deployment checks a deployment's name, and that its client can send the loads.
func (c checker) deployment(key string, d yamlx.At[string], loads []yamlx.At[float64]) {
	switch d.V {
	case "", Apart:
	case AsPaper:
		for _, l := range loads {
			if !trace.ArtifactHas(l.V) {
				c.add(l.Pos(), "loads", "%g: the paper's client knows .9, .8 and .7 (deployment: paper)", l.V)
			}
		}
	default:
		c.add(d.Pos(), key, "%q: allowed: %s, %s", d.V, Apart, AsPaper)
	}
}

// oracle checks a series that is computed from another's measurements.
func (c checker) oracle(at string, x Series, all []Series) {
	if name := x.scheduler(); !slices.Contains(Oracles, name.V) {
		c.add(name.Pos(), at+"scheduler", "%q: allowed on another series: %s", name.V, strings.Join(Oracles, ", "))
	}
	if !x.Kernel.IsZero() {
		c.add(x.Kernel.Pos(), at+"kernel", "%q: nothing runs; the kernel is that of %s", x.Kernel.V, x.On.V)
	}
	i := slices.IndexFunc(all, func(s Series) bool { return s.Name.V == x.On.V })
	if i < 0 || !all[i].On.IsZero() {
		c.add(x.On.Pos(), at+"on", "%q: is no series of this part that runs", x.On.V)
	}
}

// Rows is the trace of one round of a mix: as many invocations as the profile says,
// or fewer, but at least MinInvocations, so that they take no more CPU time than
// p.CPUTime on each of cpus function CPUs.
func (v VM) Rows(p Profile, mix Workload, round, cpus int) []trace.Row {
	classes := mix.TraceClasses()
	limit := float64(p.CPUTime.V) * float64(cpus)
	for n := p.Invocations.V; ; {
		var rows []trace.Row
		if v.Trace.V {
			rows = mix.Rows(n, v.RoundSeed(round))
		} else {
			rows = mix.generate(n, p.AtLeast.V, v.RoundSeed(round))
		}
		cpu := 0.0
		for _, r := range rows {
			cpu += float64(classes[r.Class].CPU) * p.TimeFactor.V
		}
		if limit == 0 || cpu <= limit || n <= MinInvocations {
			return rows
		}
		n = max(MinInvocations, min(n-1, int(float64(n)*limit/cpu)))
	}
}

// RoundSeed differs from round to round and is the same for all schedulers.
func (v VM) RoundSeed(round int) uint64 { return v.Seed*1000 + uint64(round) }
