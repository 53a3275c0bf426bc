package figures

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
)

// Verdicts on a claim.
const (
	holds       = "holds"
	holdsInSim  = "holds in simulation only"
	doesNotHold = "does not hold"
	notTested   = "not tested here"
)

// claim is what the paper says, and how results are asked about it.
type claim struct {
	ID     string
	Text   string
	Source string // where the paper says or shows it
	Paper  string // its numbers
	check  func(e *evidence) (seen string, ok bool)
	reason string // why it is as it is, where that is known
}

// judged is a claim and what became of it.
type judged struct {
	claim
	Simulated, Measured string // what was seen; empty if nothing could be
	Verdict, Reason     string
}

// evidence is what one engine has to say. What it lacks it notes.
type evidence struct {
	library *library
	engine  string
	grids   map[string]*grid
	lacking []string
	err     error
}

func newEvidence(l *library, engine string, grids map[string]*grid) *evidence {
	return &evidence{library: l, engine: engine, grids: grids}
}

func (e *evidence) lack(what string) float64 {
	if !slices.Contains(e.lacking, what) {
		e.lacking = append(e.lacking, what)
	}
	return math.NaN()
}

// parse reads "fig06 huawei 90 alps G1".
func parse(where string) (place, error) {
	f := strings.Fields(where)
	if len(f) != 5 {
		return place{}, fmt.Errorf("place %q: want figure, workload, load, series and group", where)
	}
	load, err := strconv.Atoi(f[2])
	if err != nil {
		return place{}, fmt.Errorf("place %q: %w", where, err)
	}
	return place{f[0], f[1], load, f[4], f[3]}, nil
}

func (e *evidence) dist(where, what string) dist {
	at, err := parse(where)
	if err != nil {
		e.err = err
		return dist{}
	}
	s, err := e.library.get(at.figure, e.engine)
	if err != nil || s == nil {
		e.lack(at.figure) // what is wrong with it is said where it is drawn
		return dist{}
	}
	d := e.library.dist(s, at, what)
	if d.n() == 0 {
		e.lack(where)
	}
	return d
}

// of is a number such as slice_p50 of a place such as "fig06 huawei 90 alps G1".
func (e *evidence) of(where, stat string) float64 {
	what, name := splitStat(stat)
	d := e.dist(where, what)
	if p, err := percentile(name); err == nil && float64(d.n())*min(p, 1-p) < 2 {
		return e.lack(fmt.Sprintf("enough invocations for the %s of %s", name, where))
	}
	v, err := d.stat(name)
	if err != nil {
		e.err = err
	}
	return v
}

// cell is a value of Table 1 or 2, and the paper's. They come from the engine
// host, which measures; so both engines' evidence would be the same.
func (e *evidence) cell(table, row, column string) (ours, paper float64) {
	g := e.grids[table]
	if g == nil || e.engine != results.EngineVM {
		return e.lack(table), math.NaN()
	}
	if ours, paper = g.find(row, column); math.IsNaN(ours) {
		e.lack(table + " " + row + " " + column)
	}
	return ours, paper
}

// slower is the share of invocations that took longer in a's series than in b's.
func (e *evidence) slower(figure, workload string, load int, a, b string) float64 {
	s, err := e.library.get(figure, e.engine)
	if err != nil || s == nil {
		return e.lack(figure)
	}
	more, n := 0, 0
	for _, x := range s.series {
		for _, y := range s.series {
			at := place{figure: figure, workload: workload, load: load}
			if !at.has(x, a) || !at.has(y, b) || x.Result.Run.Round != y.Result.Run.Round || len(x.Result.Invocations) != len(y.Result.Invocations) {
				continue
			}
			for k, i := range x.Result.Invocations {
				if i.Turnaround() > y.Result.Invocations[k].Turnaround() {
					more++
				}
				n++
			}
		}
	}
	if n == 0 {
		return e.lack(fmt.Sprintf("%s on %s of %s and %s", figure, workload, a, b))
	}
	return 100 * float64(more) / float64(n)
}

// judge asks both engines.
func (c claim) judge(simulated, measured func() *evidence) (judged, error) {
	j := judged{claim: c, Verdict: notTested, Reason: c.reason}
	if c.check == nil {
		return j, nil
	}
	ask := func(e *evidence) (seen string, ok, tested bool, err error) {
		seen, ok = c.check(e)
		if e.err != nil {
			return "", false, false, fmt.Errorf("claim %s: %w", c.ID, e.err)
		}
		if len(e.lacking) > 0 {
			return "", false, false, nil
		}
		return seen, ok, true, nil
	}
	sim := simulated()
	seenSim, okSim, testedSim, err := ask(sim)
	if err != nil {
		return j, err
	}
	vm := measured()
	seenVM, okVM, testedVM, err := ask(vm)
	if err != nil {
		return j, err
	}
	j.Simulated, j.Measured = seenSim, seenVM
	switch {
	case testedVM && okVM:
		j.Verdict = holds
		if testedSim && !okSim {
			j.Reason = strings.TrimSpace("Simulation disagrees. " + j.Reason)
		}
	case testedVM:
		j.Verdict = doesNotHold
	case testedSim && okSim:
		j.Verdict = holdsInSim
	case testedSim:
		j.Verdict = doesNotHold
		j.Reason = strings.TrimSpace("In simulation; not measured yet. " + j.Reason)
	default:
		j.Reason = strings.TrimSpace("Lacks " + strings.Join(sim.lacking, ", ") + ". " + j.Reason)
	}
	return j, nil
}

// judgeAll judges every claim.
func judgeAll(claims []claim, l *library, grids map[string]*grid) ([]judged, error) {
	var out []judged
	for _, c := range claims {
		j, err := c.judge(func() *evidence { return newEvidence(l, results.EngineSim, grids) }, func() *evidence { return newEvidence(l, results.EngineVM, grids) })
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}
