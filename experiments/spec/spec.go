// Package spec reads and validates the YAML files that describe experiments,
// workloads and profiles. Every complaint begins with file:line:col.
package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Experiment is experiments/NAME.yaml.
type Experiment struct {
	Name string `yaml:"-"`
	Path string `yaml:"-"`

	Figure     yamlx.At[string]  `yaml:"figure"`
	Title      yamlx.At[string]  `yaml:"title"`
	Workload   yamlx.At[string]  `yaml:"workload"` // a file beside this one
	Trace      *Trace            `yaml:"trace"`    // the artifact's file instead of a generated trace
	Load       yamlx.At[float64] `yaml:"load"`     // of the functions' CPUs
	Seed       yamlx.At[uint64]  `yaml:"seed"`
	Schedulers []Scheduler       `yaml:"schedulers"`

	Mix Workload `yaml:"-"` // what Workload names
}

// Trace is a file in the artifact's form.
type Trace struct {
	File yamlx.At[string] `yaml:"file"`
}

// Scheduler is one series of a figure.
type Scheduler struct {
	Name   yamlx.At[string]         `yaml:"name"`
	Policy yamlx.At[string]         `yaml:"policy"` // cfs or alps
	Order  yamlx.At[string]         `yaml:"order"`  // off, fifo, strict, bounded
	Step   yamlx.At[time.Duration]  `yaml:"step"`   // bias per rank under bounded
	Params map[string]yamlx.At[any] `yaml:"params"` // changes to the paper's parameters, by their JSON names
}

// PolicyParams are the paper's with the changes of the YAML.
func (s Scheduler) PolicyParams() (policy.Params, error) {
	p := policy.Paper()
	if len(s.Params) == 0 {
		return p, nil
	}
	changes := map[string]any{}
	for k, v := range s.Params {
		changes[k] = v.V
	}
	data, err := json.Marshal(changes)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, err
	}
	return p, p.Validate()
}

// Workload is a mix of functions.
type Workload struct {
	Name    yamlx.At[string] `yaml:"name"`
	Gap     Gap              `yaml:"gap"`
	Classes []Class          `yaml:"classes"`
}

// Gap is the distribution of the time between invocations, in units that a
// load turns into time.
type Gap struct {
	Distribution yamlx.At[string]  `yaml:"distribution"` // poisson
	Mean         yamlx.At[float64] `yaml:"mean"`
}

// Class is one function with one argument.
type Class struct {
	Function yamlx.At[string]        `yaml:"function"`
	UID      yamlx.At[string]        `yaml:"uid"`
	Port     yamlx.At[string]        `yaml:"port"`
	Group    yamlx.At[string]        `yaml:"group"`
	N        yamlx.At[int]           `yaml:"n"`
	Count    yamlx.At[int]           `yaml:"count"` // relative frequency
	CPU      yamlx.At[time.Duration] `yaml:"cpu"`
}

// Trace turns the classes into package trace's.
func (w Workload) Trace() []trace.Class {
	total := 0
	for _, c := range w.Classes {
		total += c.Count.V
	}
	out := make([]trace.Class, len(w.Classes))
	for i, c := range w.Classes {
		out[i] = trace.Class{Function: c.Function.V, UID: c.UID.V, Port: c.Port.V, Group: c.Group.V, N: c.N.V,
			CPU: c.CPU.V, Share: float64(c.Count.V) / float64(total)}
	}
	return out
}

// Profile is a size.
type Profile struct {
	Name        yamlx.At[string]  `yaml:"name"`
	Invocations yamlx.At[int]     `yaml:"invocations"` // per run
	Rounds      yamlx.At[int]     `yaml:"rounds"`
	TimeFactor  yamlx.At[float64] `yaml:"time_factor"`
	AtLeast     yamlx.At[int]     `yaml:"at_least"`
}

var (
	nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	groups = []string{"G1", "G2", "G3", "G4"}
	orders = []string{"off", "fifo", "strict", "bounded"}
)

// List names the experiments in dir, sorted.
func List(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".yaml"); name != "profiles" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Load reads dir/name.yaml and the workload it names.
func Load(dir, name string) (Experiment, error) {
	path := filepath.Join(dir, name+".yaml")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		names, _ := List(dir)
		return Experiment{}, fmt.Errorf("experiment %q: no such file %s; there are: %s", name, path, strings.Join(names, ", "))
	}
	if err != nil {
		return Experiment{}, fmt.Errorf("experiment: %w", err)
	}
	e := Experiment{Name: name, Path: path}
	if err := yamlx.Decode(path, data, &e); err != nil {
		return Experiment{}, err
	}
	errs := &yamlx.Errors{File: path}
	if !nameRE.MatchString(e.Figure.V) {
		errs.Add(e.Figure.Pos(), "figure", "%q: a name such as fig06 is needed", e.Figure.V)
	}
	if e.Load.V <= 0 || e.Load.V > 2 {
		errs.Add(e.Load.Pos(), "load", "%v is outside (0, 2]", e.Load.V)
	}
	if len(e.Schedulers) == 0 {
		errs.Add(yamlx.Pos{}, "schedulers", "missing; give at least one")
	}
	seen := map[string]bool{}
	for i, s := range e.Schedulers {
		s.check(fmt.Sprintf("schedulers[%d]", i), errs)
		if seen[s.Name.V] {
			errs.Add(s.Name.Pos(), fmt.Sprintf("schedulers[%d].name", i), "%q is there twice", s.Name.V)
		}
		seen[s.Name.V] = true
	}
	if e.Workload.V == "" {
		errs.Add(yamlx.Pos{}, "workload", "missing; name a file of a workload")
	}
	if e.Trace != nil {
		if _, err := os.Stat(e.tracePath()); err != nil {
			errs.Add(e.Trace.File.Pos(), "trace.file", "%v: give the path of a trace in the artifact's form, relative to %s", err, filepath.Dir(path))
		}
	}
	if err := errs.Err(); err != nil {
		return Experiment{}, err
	}
	e.Mix, err = loadWorkload(filepath.Join(dir, e.Workload.V))
	return e, err
}

func (e Experiment) tracePath() string {
	if filepath.IsAbs(e.Trace.File.V) {
		return e.Trace.File.V
	}
	return filepath.Join(filepath.Dir(e.Path), e.Trace.File.V)
}

// Rows is the experiment's trace for one round: n rows from the file or from
// the generator.
func (e Experiment) Rows(p Profile, round int) ([]trace.Row, error) {
	classes := e.Mix.Trace()
	if e.Trace == nil {
		return trace.Generate(classes, p.Invocations.V, e.Mix.Gap.Mean.V, p.AtLeast.V, e.RoundSeed(round)), nil
	}
	f, err := os.Open(e.tracePath())
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	rows, err := trace.Read(e.Trace.File.V, f, classes)
	if err != nil {
		return nil, err
	}
	return rows[:min(len(rows), p.Invocations.V)], nil
}

// RoundSeed differs from round to round and is the same for all schedulers.
func (e Experiment) RoundSeed(round int) uint64 { return e.Seed.V*1000 + uint64(round) }

func (s Scheduler) check(at string, errs *yamlx.Errors) {
	if !nameRE.MatchString(s.Name.V) {
		errs.Add(s.Name.Pos(), at+".name", "%q: letters, digits and '-' are allowed", s.Name.V)
	}
	switch s.Policy.V {
	case "cfs":
	case "alps":
		if s.Order.V != "" && !slices.Contains(orders, s.Order.V) {
			errs.Add(s.Order.Pos(), at+".order", "%q: allowed: %s", s.Order.V, strings.Join(orders, ", "))
		}
		if s.Step.V < 0 || s.Step.V > time.Hour/2 {
			errs.Add(s.Step.Pos(), at+".step", "%s: allowed: 1us to 30m", s.Step.V)
		}
		if _, err := s.PolicyParams(); err != nil {
			errs.Add(s.Name.Pos(), at+".params", "%v", err)
		}
	default:
		errs.Add(s.Policy.Pos(), at+".policy", "%q: allowed: cfs, alps", s.Policy.V)
	}
}

func loadWorkload(path string) (Workload, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Workload{}, fmt.Errorf("workload: %w", err)
	}
	var w Workload
	if err := yamlx.Decode(path, data, &w); err != nil {
		return Workload{}, err
	}
	errs := &yamlx.Errors{File: path}
	if w.Gap.Distribution.V != "poisson" {
		errs.Add(w.Gap.Distribution.Pos(), "gap.distribution", "%q: allowed: poisson", w.Gap.Distribution.V)
	}
	if w.Gap.Mean.V <= 0 {
		errs.Add(w.Gap.Mean.Pos(), "gap.mean", "%v: a number above 0 is needed", w.Gap.Mean.V)
	}
	if len(w.Classes) == 0 {
		errs.Add(yamlx.Pos{}, "classes", "missing; give at least one")
	}
	for i, c := range w.Classes {
		at := fmt.Sprintf("classes[%d].", i)
		if c.Function.V == "" {
			errs.Add(c.Function.Pos(), at+"function", "missing")
		}
		if n, err := strconv.Atoi(c.UID.V); err != nil || n < 0 {
			errs.Add(c.UID.Pos(), at+"uid", "%q: a number is needed", c.UID.V)
		}
		if n, err := strconv.Atoi(c.Port.V); err != nil || n < 1 || n > 65535 {
			errs.Add(c.Port.Pos(), at+"port", "%q: allowed: 1 to 65535", c.Port.V)
		}
		if !slices.Contains(groups, c.Group.V) {
			errs.Add(c.Group.Pos(), at+"group", "%q: allowed: %s", c.Group.V, strings.Join(groups, ", "))
		}
		if c.Count.V < 1 {
			errs.Add(c.Count.Pos(), at+"count", "%d: at least 1 is needed", c.Count.V)
		}
		if c.CPU.V < time.Millisecond || c.CPU.V > time.Minute {
			errs.Add(c.CPU.Pos(), at+"cpu", "%s: allowed: 1ms to 1m", c.CPU.V)
		}
	}
	return w, errs.Err()
}

// LoadProfile reads dir/profiles.yaml and returns the profile called name.
func LoadProfile(dir, name string) (Profile, error) {
	path := filepath.Join(dir, "profiles.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return Profile{}, fmt.Errorf("profiles: %w", err)
	}
	var f struct {
		Profiles []Profile `yaml:"profiles"`
	}
	if err := yamlx.Decode(path, data, &f); err != nil {
		return Profile{}, err
	}
	errs := &yamlx.Errors{File: path}
	var names []string
	found := -1
	for i, p := range f.Profiles {
		at := fmt.Sprintf("profiles[%d].", i)
		names = append(names, p.Name.V)
		if p.Name.V == name {
			found = i
		}
		if p.Invocations.V < 20 || p.Invocations.V > 1_000_000 {
			errs.Add(p.Invocations.Pos(), at+"invocations", "%d: allowed: 20 to 1000000", p.Invocations.V)
		}
		if p.Rounds.V < 1 || p.Rounds.V > 100 {
			errs.Add(p.Rounds.Pos(), at+"rounds", "%d: allowed: 1 to 100", p.Rounds.V)
		}
		if p.TimeFactor.V <= 0 || p.TimeFactor.V > 100 {
			errs.Add(p.TimeFactor.Pos(), at+"time_factor", "%v is outside (0, 100]", p.TimeFactor.V)
		}
	}
	if err := errs.Err(); err != nil {
		return Profile{}, err
	}
	if found < 0 {
		return Profile{}, fmt.Errorf("profile %q: allowed: %s", name, strings.Join(names, ", "))
	}
	return f.Profiles[found], nil
}
