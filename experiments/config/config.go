// SPDX-License-Identifier: Apache-2.0

// Package config reads and validates the YAML files that describe experiments,
// workloads, machines and profiles. A complaint about a file begins with
// file:line:col, or with the file where a key is missing.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// Experiment is experiments/NAME.yaml: a figure and the parts that make its
// numbers, each with an engine.
type Experiment struct {
	Name, Path    string
	Figure, Title string

	VM    *VM // nil: nothing runs in a guest
	Sims  []Sim
	Grids []Sim // the parts of engine sim that have Cores
	Hosts []Host

	Target string // the target that makes it, if experiments:run does not

	ByNameOnly bool // it is not among All
}

// Engines are those that the experiment's runs need: vm for a guest, sim for
// everything else. An experiment whose results another target makes needs none.
func (e Experiment) Engines() []string {
	var out []string
	if e.VM != nil {
		out = append(out, results.EngineVM)
	}
	if len(e.Sims)+len(e.Grids)+len(e.Hosts) > 0 {
		out = append(out, results.EngineSim)
	}
	return out
}

// file is an experiment as it is written.
type file struct {
	Figure yamlx.At[string] `yaml:"figure"`
	Title  yamlx.At[string] `yaml:"title"`
	ByName yamlx.At[bool]   `yaml:"by_name_only"` // it runs only where it is asked for by its name
	Parts  []part           `yaml:"parts"`
}

// part is of one engine, and has only the keys of that engine beside the
// common ones.
type part struct {
	Engine    yamlx.At[string]    `yaml:"engine"`
	Seed      yamlx.At[uint64]    `yaml:"seed"`
	Workloads []yamlx.At[string]  `yaml:"workloads"` // files in workloads/, without .yaml
	Loads     []yamlx.At[float64] `yaml:"loads"`     // CPU time demanded / CPU time of the functions' CPUs
	Series    []Series            `yaml:"series"`
	VM        `yaml:",inline"`
	Sim       `yaml:",inline"`
	Host      `yaml:",inline"`
}

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// MaxStep is the longest bias between neighbouring ranks.
const MaxStep = time.Hour / 2

// Disk is this host's files, by any path. LoadWorkload and LoadMachine read from it
// or from an embed.FS.
type Disk struct{}

// Open implements fs.FS.
func (Disk) Open(name string) (fs.File, error) { return os.Open(name) }

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

// All is given in place of an experiment's name. What runs then is every experiment
// but those that run by name only.
const All = "all"

// LoadAll loads the experiment called name; for All it loads every experiment in
// dir, those that run by name only, too.
func LoadAll(dir, name string) ([]Experiment, error) {
	names := []string{name}
	if name == All {
		var err error
		if names, err = List(dir); err != nil {
			return nil, err
		}
	}
	var exps []Experiment
	for _, n := range names {
		e, err := Load(dir, n)
		if err != nil {
			return nil, err
		}
		exps = append(exps, e)
	}
	return exps, nil
}

// ByEngine loads the experiment called name, or All, and says which experiments
// run in a guest (vm) and which need none (sim). With engine "", an experiment
// runs in a guest if it has a part of engine vm, else without one. An experiment that
// cannot run so is an error if it was named, and is left out of All.
func ByEngine(dir, name, engine string) (vm, sim []Experiment, err error) {
	if engine != "" && engine != results.EngineVM && engine != results.EngineSim {
		return nil, nil, fmt.Errorf("engine %q: allowed: %s, %s", engine, results.EngineVM, results.EngineSim)
	}
	exps, err := LoadAll(dir, name)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range exps {
		if e.Target != "" {
			if name != All {
				return nil, nil, fmt.Errorf("%s: %s makes it, experiments:run does not", name, e.Target)
			}
			continue
		}
		if e.ByNameOnly && name == All {
			continue
		}
		wanted := cmp.Or(engine, e.Engines()[0])
		switch {
		case !slices.Contains(e.Engines(), wanted):
			if name != All {
				return nil, nil, fmt.Errorf("%s: no part of it is for engine %s; there is: %s", name, wanted, strings.Join(e.Engines(), ", "))
			}
		case wanted == results.EngineVM:
			vm = append(vm, e)
		default:
			sim = append(sim, e)
		}
	}
	return vm, sim, nil
}

// Load reads dir/name.yaml and the workloads it names.
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
	return parse(name, path, data)
}

func parse(name, path string, data []byte) (Experiment, error) {
	var f file
	if err := yamlx.Decode(path, data, &f); err != nil {
		return Experiment{}, err
	}
	e := Experiment{Name: name, Path: path, Figure: f.Figure.V, Title: f.Title.V, ByNameOnly: f.ByName.V}
	errs := &yamlx.Errors{File: path}
	if !nameRE.MatchString(f.Figure.V) {
		errs.Add(f.Figure.Pos(), "figure", "%q: a name such as fig06 is needed", f.Figure.V)
	}
	if len(f.Parts) == 0 {
		errs.Add(yamlx.Pos{}, "parts", "missing; give at least one")
	}
	for i, p := range f.Parts {
		c := checker{Errors: errs, dir: filepath.Dir(path), at: fmt.Sprintf("parts[%d].", i)}
		switch p.Engine.V {
		case results.EngineVM:
			if e.VM != nil {
				errs.Add(p.Engine.Pos(), c.at+"engine", "a second part for vm; one is allowed")
			}
			e.VM = c.vm(p)
		case results.EngineSim:
			if s := c.sim(p); s.Cores == nil {
				e.Sims = append(e.Sims, s)
			} else {
				e.Grids = append(e.Grids, s)
			}
		case results.EngineHost:
			h := c.host(p)
			if e.Target = others[h.Measure.V]; e.Target == "" {
				e.Hosts = append(e.Hosts, h)
			} else if len(f.Parts) > 1 {
				errs.Add(h.Measure.Pos(), c.at+"measure", "%s: another target makes it, %s: no other part is allowed", h.Measure.V, e.Target)
			}
		default:
			errs.Add(p.Engine.Pos(), c.at+"engine", "%q: allowed: vm, sim, host", p.Engine.V)
		}
	}
	return e, errs.Err()
}

// checker collects the complaints about one part.
type checker struct {
	*yamlx.Errors
	dir string // of the experiment
	at  string // what stands before the part's keys, as "parts[0]."
}

func (c checker) add(pos yamlx.Pos, key, format string, args ...any) {
	c.Add(pos, c.at+key, format, args...)
}

// foreign complains about keys of other engines.
func (c checker) foreign(p part, others ...any) {
	for _, o := range others {
		v := reflect.ValueOf(o)
		for i := range v.NumField() {
			if key := v.Type().Field(i).Tag.Get("yaml"); key != "" && key != "-" && !v.Field(i).IsZero() {
				c.add(p.Engine.Pos(), key, "not for engine %s", p.Engine.V)
			}
		}
	}
}

func (c checker) load(key string, load yamlx.At[float64]) {
	if !(load.V > 0 && load.V <= 2) {
		c.add(load.Pos(), key, "%v is outside (0, 2]", load.V)
	}
}

// workload loads the workload at path; an error becomes a complaint.
func (c checker) workload(key string, at yamlx.At[string], path string) Workload {
	w, err := LoadWorkload(Disk{}, filepath.Join(c.dir, path))
	c.readable(key, at, err)
	return w
}

// readable complains about key if err says that the file that at names cannot be
// read. Any other err is about that file's content, and is added as it is.
func (c checker) readable(key string, at yamlx.At[string], err error) {
	var unreadable *fs.PathError
	switch {
	case errors.As(err, &unreadable):
		c.add(at.Pos(), key, "%q: %v", at.V, err)
	case err != nil:
		c.Join(err)
	}
}

// workloads loads the workloads of a part, at least one.
func (c checker) workloads(p part) []Workload {
	if len(p.Workloads) == 0 {
		c.add(p.Engine.Pos(), "workloads", "missing; name at least one file of workloads/")
	}
	var out []Workload
	for i, name := range p.Workloads {
		at := fmt.Sprintf("workloads[%d]", i)
		w := c.workload(at, name, filepath.Join("workloads", name.V+".yaml"))
		if k := slices.IndexFunc(out, func(x Workload) bool { return x.Name.V == w.Name.V && w.Name.V != "" }); k >= 0 {
			c.add(name.Pos(), at, "%q: its name is %q, which workloads[%d] has, too: give it another in %s", name.V, w.Name.V, k, w.Path)
		}
		out = append(out, w)
	}
	return out
}
