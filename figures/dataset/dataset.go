// SPDX-License-Identifier: Apache-2.0

// Package dataset reads the results of a figure, refuses to pool what is not alike,
// and measures them: distributions of turnarounds, on-CPU segments, switches, and the
// printed tables.
package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// MinRounds is how many rounds a claim needs to be judged; of paper.Headline's runs one is enough.
const MinRounds = 3

// LoadPct is a load (0 to 1, and above) in whole %.
func LoadPct(load float64) int { return int(math.Round(100 * load)) }

// Engines in the order they are shown.
var Engines = []string{results.EngineSim, results.EngineVM}

// Set is what one engine has of one figure.
type Set struct {
	Engine  string
	Series  []results.Series // runs that are there and valid
	Found   []results.Series // runs that are there, valid or not
	Missing []results.Series // runs that were planned and are not there
	Invalid []string         // a sentence for each run that is not valid, with the reasons
}

// Library reads each figure's set once, and keeps what it has measured and drawn of it.
type Library struct {
	pools map[string]*results.Pool // by engine
	sets  map[string]*Set
	memo  map[string]stats.Distribution
	draws map[string][]float64
}

// NewLibrary is the library of the results directory root. It reads a figure when it is asked for it.
func NewLibrary(root string) *Library {
	pools := map[string]*results.Pool{}
	for _, engine := range Engines {
		pools[engine] = results.NewPool(root, engine)
	}
	return &Library{pools: pools, sets: map[string]*Set{}, memo: map[string]stats.Distribution{}, draws: map[string][]float64{}}
}

// Figure reads the set of a figure; nil if nothing was planned. Runs that must
// not be shown together are an error.
func (l *Library) Figure(figure, engine string) (*Set, error) {
	at := figure + "/" + engine
	if s, ok := l.sets[at]; ok {
		return s, nil
	}
	s, err := l.read(figure, engine)
	if errors.Is(err, fs.ErrNotExist) {
		s, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s != nil {
		for _, x := range s.Series {
			s.Found = append(s.Found, x)
			if r := x.Result.Run; !r.Valid {
				s.Invalid = append(s.Invalid, fmt.Sprintf("%s (%s): %s", x, r.Key, strings.Join(r.Invalid, "; ")))
			}
		}
		s.Series = slices.DeleteFunc(s.Series, func(x results.Series) bool { return !x.Result.Run.Valid })
		s.keepDeploymentsApart()
		if err := s.alike(); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", figure, engine, err)
		}
	}
	l.sets[at] = s
	return s, nil
}

// keepDeploymentsApart adds its deployment to a series' name where one workload and load have several
// deployments: runs in another deployment are another series. Experiments with guests of several sizes have
// the deployment in the workload's name, so that there each workload has one.
func (s *Set) keepDeploymentsApart() {
	type cell struct {
		workload string
		load     int
	}
	cellOf := func(x results.Series) cell { return cell{x.Workload, LoadPct(x.Load)} }
	deployments := map[cell][]string{}
	for _, x := range s.Series {
		deployments[cellOf(x)] = append(deployments[cellOf(x)], deploymentOf(x))
	}
	for i, x := range s.Series {
		several := len(Distinct(deployments[cellOf(x)], func(d string) string { return d })) > 1
		if d := deploymentOf(x); several && d != "" {
			s.Series[i].Name = x.Name + paper.Deployed + d
		}
	}
}

func (l *Library) read(figure, engine string) (*Set, error) {
	found, missing, err := l.pools[engine].Plan(figure)
	if err != nil {
		return nil, err
	}
	s := &Set{Engine: engine, Series: found}
	for _, err := range missing {
		var m *results.MissingError
		if !errors.As(err, &m) {
			return nil, err
		}
		s.Missing = append(s.Missing, m.Series)
	}
	return s, nil
}

// Lacks says which runs are missing: the first few series by name, the rest as a number. It is empty if none is.
func (s *Set) Lacks(few int) string {
	if len(s.Missing) == 0 {
		return ""
	}
	type series struct {
		name, workload string
		load           float64
	}
	at := func(x results.Series) series { return series{x.Name, x.Workload, x.Load} }
	var named []string
	all := Distinct(s.Missing, at)
	for _, of := range all[:min(few, len(all))] {
		var rounds []string
		for _, x := range s.Missing {
			if at(x) == of {
				rounds = append(rounds, fmt.Sprint(x.Round))
			}
		}
		text := results.Series{Name: of.name, Workload: of.workload, Load: of.load}.String() + ", round"
		if len(rounds) > 1 {
			text += "s"
		}
		named = append(named, text+" "+strings.Join(rounds, ", "))
	}
	if more := len(all) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d of %d runs are missing: %s", len(s.Missing), len(s.Missing)+len(s.Found), strings.Join(named, "; "))
}

// alike refuses runs that differ where they may not. All runs must have run on the same, but series that are
// planned for another kernel. Runs of one workload and load must have as many invocations, and in guests the same
// CPUs and load. Rounds of one series may differ in round, seed and results only.
func (s *Set) alike() error {
	seen := map[string]string{}
	same := func(of, name string, v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		at := of + " " + name
		if old, ok := seen[at]; ok && old != string(text) {
			return fmt.Errorf("runs%s differ in %s: %s and %s; they are not pooled", of, name, old, text)
		}
		seen[at] = string(text)
		return nil
	}
	for _, x := range s.Series {
		r := x.Result.Run
		model := ""
		if r.Sim != nil {
			model = r.Sim.Model
		}
		series := fmt.Sprintf(" of %s on %s at %d %%", x.Name, x.Workload, LoadPct(x.Load))
		on := fmt.Sprintf(" on %s at %d %%", x.Workload, LoadPct(x.Load))
		kernel := ""
		if x.Kernel != "" {
			kernel = " of kernel " + x.Kernel
			if r.KernelName != x.Kernel {
				return fmt.Errorf("runs%s are planned for kernel %s and ran on %s", series, x.Kernel, r.KernelName)
			}
		}
		err := errors.Join(same("", "engine", r.Engine), same(kernel, "kernel", r.Kernel), same(kernel, "configuration", r.ConfigDigest),
			same("", "accelerator", r.Accelerator), same("", "image", r.ImageDigest), same("", "time factor", r.TimeFactor), same("", "model", model),
			same(on, "invocations", r.Invocations),
			same(series, "kernel", r.Kernel), same(series, "cores", r.CPUs), same(series, "cores for functions", r.FunctionCPUs),
			same(series, "load", r.LoadAsked), same(series, "parameters", settings(r)))
		if err == nil && s.Engine == results.EngineVM {
			err = errors.Join(same(on, "CPUs", r.CPUs), same(on, "load", r.LoadAsked))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settings are a run's parameters but for those that no two rounds share.
func settings(r results.Run) map[string]any {
	out := maps.Clone(r.Parameters)
	delete(out, "costs") // measured anew at every boot
	delete(out, "on")    // the run that this one is computed from
	return out
}

// Base is the name of the series that x was computed from, or its key if it is not among the set's valid runs.
// computed is false if x ran itself.
func (s *Set) Base(x results.Series) (name string, computed bool) {
	key, computed := x.Result.Run.Parameters["on"]
	for _, b := range s.Series {
		if b.Key == key {
			return b.Name, computed
		}
	}
	return fmt.Sprint(key), computed
}

// Label is a series in a legend: its name, with the series it was computed on or the kernel that was planned for it.
func (s *Set) Label(x results.Series) string {
	if base, computed := s.Base(x); computed {
		return x.Name + " (computed on " + base + ")"
	}
	if x.Kernel != "" {
		return x.Name + " (kernel " + x.Kernel + ")"
	}
	return x.Name
}

// Distribution pools the rounds of a position, in the unit of the measure (see Unit). It is of nothing if no valid run has
// such invocations.
func (l *Library) Distribution(s *Set, at paper.Position, measure string) stats.Distribution {
	key := fmt.Sprint(s.Engine, at, measure)
	if d, ok := l.memo[key]; ok {
		return d
	}
	var rounds []stats.Distribution
	for _, x := range s.Series {
		if !IsOf(x, at, at.Series) {
			continue
		}
		var base *results.Result
		for _, b := range s.Series {
			if IsOf(b, at, SavedAgainst) && b.Result.Run.Round == x.Result.Run.Round {
				base = &b.Result
			}
		}
		if d := Measure(measure, at.Group, x.Result, base); d.N() > 0 {
			rounds = append(rounds, d)
		}
	}
	var d stats.Distribution
	switch {
	case len(rounds) == 0:
	case measure == Spread:
		d = spreadOver(rounds)
	default:
		d = stats.Pool(rounds)
	}
	l.memo[key] = d
	return d
}

// spreadOver is how far the mean of each round lies from that of all of them, %.
func spreadOver(rounds []stats.Distribution) stats.Distribution {
	all := stats.Pool(rounds).Mean()
	var out []stats.Sample
	for _, r := range rounds {
		out = append(out, stats.Sample{Value: 100 * (r.Mean()/all - 1), Count: 1})
	}
	d := stats.New(out, 0)
	d.Rounds = len(out)
	return d
}

// Redraw is a statistic such as slice_p50 of a position in every draw; nil if
// nothing can be drawn.
func (l *Library) Redraw(s *Set, at paper.Position, stat string) ([]float64, error) {
	key := fmt.Sprint(s.Engine, at, stat)
	if v, ok := l.draws[key]; ok {
		return v, nil
	}
	measure, name := SplitStat(stat)
	v, err := l.Distribution(s, at, measure).Redraw([]string{name})
	if err != nil {
		return nil, err
	}
	l.draws[key] = v[0]
	return v[0], nil
}

// IsOf says whether a run is of a series in the workload and the load of a position.
func IsOf(x results.Series, at paper.Position, series string) bool {
	return x.Name == series && x.Workload == at.Workload && LoadPct(x.Load) == at.LoadPct
}

// Distinct are the values of a property, each once, in the order in which they appear.
func Distinct[S any, T comparable](in []S, property func(S) T) []T {
	var out []T
	for _, s := range in {
		if v := property(s); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
