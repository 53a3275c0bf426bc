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
	figure, engine string
	series         []results.Series // valid ones
	runs           []results.Run    // all that were found
	missing        []string
	invalid        []string
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
	for _, engine := range []string{results.EngineVM, results.EngineSim} {
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
		s.engine = engine
		for _, x := range slices.Clone(s.series) {
			s.runs = append(s.runs, x.Result.Run)
		}
		s.series = slices.DeleteFunc(s.series, func(x results.Series) bool { return !x.Result.Run.Valid })
		for _, r := range s.runs {
			if !r.Valid {
				s.invalid = append(s.invalid, fmt.Sprintf("%s round %d (%s): %s", r.Scheduler, r.Round, r.Key, strings.Join(r.Invalid, "; ")))
			}
		}
		if err := s.alike(); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", figure, engine, err)
		}
	}
	l.sets[at] = s
	return s, nil
}

func (l *library) read(figure, engine string) (*set, error) {
	pool := l.pools[results.EngineSim]
	if engine == results.EngineVM {
		pool = l.pools[engine]
	}
	found, missing, err := pool.Plan(figure)
	if err != nil {
		return nil, err
	}
	s := &set{figure: figure, series: found}
	for _, err := range missing {
		var m *results.MissingError
		if !errors.As(err, &m) {
			return nil, err
		}
		s.missing = append(s.missing, m.Series.String())
	}
	if engine == results.EngineVM {
		// The order of the paper's figures, whatever order they ran in.
		slices.SortStableFunc(s.series, func(a, b results.Series) int { return rank(a.Name) - rank(b.Name) })
	}
	return s, nil
}

// rank is a scheduler's place in the paper's figures.
func rank(series string) int {
	order := []string{"rr", "fifo", "cfs", "sfs", "alps", "srpt"}
	if i := slices.Index(order, series); i >= 0 {
		return i
	}
	return len(order)
}

// alike refuses runs that differ where they may not: all in what they ran on,
// rounds of one series in everything but round, seed and what came of them.
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
		params := maps.Clone(r.Parameters)
		delete(params, "costs") // measured anew at every boot
		series := fmt.Sprintf(" of %s on %s at %d %%", x.Name, r.Workload, pct(x.Load))
		on := fmt.Sprintf(" on %s at %d %%", r.Workload, pct(x.Load))
		err := errors.Join(same("", "engine", r.Engine), same("", "kernel", r.Kernel), same("", "configuration", r.ConfigDigest),
			same("", "accelerator", r.Accelerator), same("", "image", r.ImageDigest), same("", "time factor", r.TimeFactor), same("", "model", model),
			same(on, "invocations", r.Invocations),
			same(series, "cores", r.CPUs), same(series, "cores for functions", r.FunctionCPUs), same(series, "load", r.LoadAsked), same(series, "parameters", params))
		if err == nil && s.engine == results.EngineVM {
			err = errors.Join(same("", "CPUs", r.CPUs), same(on, "load", r.LoadAsked))
		}
		if err != nil {
			return err
		}
	}
	return nil
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
			if at.has(b, strings.Replace(at.series, "alps", "cfs", 1)) && b.Result.Run.Round == x.Result.Run.Round {
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
	return x.Name == series && x.Result.Run.Workload == p.workload && pct(x.Load) == p.load
}

// conditions are what the runs of a set share, and where they differ.
func (s *set) conditions() []string {
	if len(s.series) == 0 {
		return nil
	}
	type machine struct{ cpus, of int }
	machines := distinctOf(s.series, func(x results.Series) machine {
		return machine{x.Result.Run.FunctionCPUs, x.Result.Run.CPUs}
	})
	r := s.series[0].Result.Run
	var out []string
	if s.engine == results.EngineVM {
		kernel := "kernel " + r.Kernel
		if r.KernelFallback {
			kernel += " (not the paper's 5.18-rc5)"
		}
		out = append(out, fmt.Sprintf("Measured: %s; %s; image %s; code %s", kernel, r.Accelerator, short(r.ImageDigest), r.Revision))
	} else {
		model := ""
		if r.Sim != nil {
			model = ", model " + short(r.Sim.Model)
		}
		out = append(out, "Simulated in virtual time"+model)
	}
	var n, rounds, seeds []float64
	for _, x := range s.series {
		q := x.Result.Run
		n, rounds, seeds = append(n, float64(q.Invocations)), append(rounds, float64(max(q.Round, 1))), append(seeds, float64(q.Seed))
	}
	out[0] += fmt.Sprintf("; %s invocations a run, rounds: %.0f, seeds: %s", span(n, 0), slices.Max(rounds), span(seeds, 0))
	for _, m := range machines {
		var of []results.Series
		for _, x := range s.series {
			if x.Result.Run.FunctionCPUs == m.cpus && x.Result.Run.CPUs == m.of {
				of = append(of, x)
			}
		}
		text := fmt.Sprintf("%d cores", m.cpus)
		if m.cpus == 1 {
			text = "1 core"
		}
		if m.of != m.cpus {
			text += fmt.Sprintf(" of %d for the functions", m.of)
		}
		if len(machines) > 1 {
			text += " (" + strings.Join(distinctOf(of, func(x results.Series) string { return x.Name }), ", ") + ")"
		}
		for _, at := range distinctOf(of, func(x results.Series) [2]any { return [2]any{x.Result.Run.Workload, pct(x.Load)} }) {
			var asked, achieved []float64
			for _, x := range of {
				if q := x.Result.Run; q.Workload == at[0] && pct(x.Load) == at[1] {
					asked, achieved = append(asked, 100*q.LoadAsked), append(achieved, 100*q.LoadAchieved)
				}
			}
			text += fmt.Sprintf("; %s at %d %%: load asked %s, achieved %s %%", at[0], at[1], span(asked, 1), span(achieved, 1))
		}
		out = append(out, text)
	}
	return out
}

// span is a range as text.
func span(v []float64, digits int) string {
	lo, hi := num(slices.Min(v), digits), num(slices.Max(v), digits)
	if lo == hi {
		return lo
	}
	return lo + "–" + hi
}

func short(digest string) string { return digest[:min(len(digest), 12)] }

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
