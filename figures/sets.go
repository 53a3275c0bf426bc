package figures

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
)

// set is what one engine has of one figure.
type set struct {
	engine  string
	series  []results.Series // valid ones
	found   []results.Series // all that there are
	missing []results.Series
	invalid []string // with reasons
}

// library reads sets, and measures each run once.
type library struct {
	pools map[string]*results.Pool // by engine
	sets  map[string]*set
	memo  map[string]dist
	draws map[string][]float64
}

func newLibrary(root string) *library {
	pools := map[string]*results.Pool{}
	for _, engine := range engines {
		pools[engine] = results.NewPool(root, engine)
	}
	return &library{pools: pools, sets: map[string]*set{}, memo: map[string]dist{}, draws: map[string][]float64{}}
}

// get reads the set of a figure; nil if nothing was planned. Runs that must
// not be shown together are an error.
func (l *library) get(figure, engine string) (*set, error) {
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
		for _, x := range s.series {
			s.found = append(s.found, x)
			if r := x.Result.Run; !r.Valid {
				s.invalid = append(s.invalid, fmt.Sprintf("%s (%s): %s", x, r.Key, strings.Join(r.Invalid, "; ")))
			}
		}
		s.series = slices.DeleteFunc(s.series, func(x results.Series) bool { return !x.Result.Run.Valid })
		if err := s.alike(); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", figure, engine, err)
		}
	}
	l.sets[at] = s
	return s, nil
}

func (l *library) read(figure, engine string) (*set, error) {
	found, missing, err := l.pools[engine].Plan(figure)
	if err != nil {
		return nil, err
	}
	s := &set{engine: engine, series: found}
	for _, err := range missing {
		var m *results.MissingError
		if !errors.As(err, &m) {
			return nil, err
		}
		s.missing = append(s.missing, m.Series)
	}
	return s, nil
}

// lacks says which runs are missing, the first few by name, or nothing.
func (s *set) lacks(few int) string {
	if len(s.missing) == 0 {
		return ""
	}
	type series struct {
		name, workload string
		load           float64
	}
	at := func(x results.Series) series { return series{x.Name, x.Workload, x.Load} }
	var named []string
	all := distinctOf(s.missing, at)
	for _, of := range all[:min(few, len(all))] {
		var rounds []string
		for _, x := range s.missing {
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
	return fmt.Sprintf("%d of %d runs are missing: %s", len(s.missing), len(s.missing)+len(s.found), strings.Join(named, "; "))
}

// alike refuses runs that differ where they may not: all in what they ran on,
// but for series that are planned for another kernel; rounds of one series in
// everything but round, seed and what came of them.
func (s *set) alike() error {
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
	for _, x := range s.series {
		r := x.Result.Run
		model := ""
		if r.Sim != nil {
			model = r.Sim.Model
		}
		series := fmt.Sprintf(" of %s on %s at %d %%", x.Name, x.Workload, pct(x.Load))
		on := fmt.Sprintf(" on %s at %d %%", x.Workload, pct(x.Load))
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
		if err == nil && s.engine == results.EngineVM {
			err = errors.Join(same("", "CPUs", r.CPUs), same(on, "load", r.LoadAsked))
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

// base is the series that x was computed from; none if x ran.
func (s *set) base(x results.Series) (name string, computed bool) {
	key, computed := x.Result.Run.Parameters["on"]
	for _, b := range s.series {
		if b.Key == key {
			return b.Name, computed
		}
	}
	return fmt.Sprint(key), computed
}

// label is a series in a legend: its name, and what the others have not.
func (s *set) label(x results.Series) string {
	if base, computed := s.base(x); computed {
		return x.Name + " (computed on " + base + ")"
	}
	if x.Kernel != "" {
		return x.Name + " (kernel " + x.Kernel + ")"
	}
	return x.Name
}

// dist pools the rounds of a place.
func (l *library) dist(s *set, at place, what string) dist {
	key := fmt.Sprint(s.engine, at, what)
	if d, ok := l.memo[key]; ok {
		return d
	}
	var rounds []dist
	for _, x := range s.series {
		if !at.has(x, at.series) {
			continue
		}
		var base *results.Result
		for _, b := range s.series {
			if at.has(b, savedAgainst) && b.Result.Run.Round == x.Result.Run.Round {
				base = &b.Result
			}
		}
		if d := measure(what, at.group, x.Result, base); d.n() > 0 {
			rounds = append(rounds, d)
		}
	}
	var d dist
	switch {
	case len(rounds) == 0:
	case what == whatSpread:
		d = spreadOver(rounds)
	default:
		d = pool(rounds)
	}
	l.memo[key] = d
	return d
}

// spreadOver is how far the mean of each round lies from that of all of them, %.
func spreadOver(rounds []dist) dist {
	all := pool(rounds).mean()
	var out []sample
	for _, r := range rounds {
		out = append(out, sample{value: 100 * (r.mean()/all - 1), count: 1})
	}
	d := newDist(out, 0)
	d.rounds = len(out)
	return d
}

// redraw is a statistic such as slice_p50 of a place in every draw; nil if
// nothing can be drawn.
func (l *library) redraw(s *set, at place, stat string) ([]float64, error) {
	key := fmt.Sprint(s.engine, at, stat)
	if v, ok := l.draws[key]; ok {
		return v, nil
	}
	what, name := splitStat(stat)
	v, err := l.dist(s, at, what).redraw([]string{name})
	if err != nil {
		return nil, err
	}
	l.draws[key] = v[0]
	return v[0], nil
}

// has says whether a run is series of the place.
func (p place) has(x results.Series, series string) bool {
	return x.Name == series && x.Workload == p.workload && pct(x.Load) == p.load
}

// distinctOf are a property's values, in the order they appear.
func distinctOf[S any, T comparable](in []S, property func(S) T) []T {
	var out []T
	for _, s := range in {
		if v := property(s); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
