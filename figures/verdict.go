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
	check  check
	reason string // why it is as it is, where that is known
}

// judged is a claim and what became of it.
type judged struct {
	claim
	Simulated, Measured string // what was seen; empty if nothing could be
	Verdict, Reason     string
}

// claimsTSV has a line per claim; what was seen is empty where nothing could be.
func claimsTSV(claims []judged) string {
	var b strings.Builder
	b.WriteString("id\tverdict\tmeasured\tsimulated\tpaper\ttext\n")
	for _, c := range claims {
		fields := []string{c.ID, c.Verdict, c.Measured, c.Simulated, c.Paper, c.Text}
		for i, f := range fields {
			fields[i] = strings.Join(strings.Fields(f), " ")
		}
		b.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return b.String()
}

// evidence is what one engine has to say, or what it says in one of the
// bootstrap's draws. What it lacks it notes.
type evidence struct {
	library *library
	engine  string
	grids   map[string]*grid
	second  bool // alps-artifact is asked where a claim names alps
	draw    int  // of the bootstrap; -1: all that was seen
	signs   bool // only directions count, not sizes
	drawn   bool // something depends on the draw
	empty   bool // nothing of a rare group was drawn
	other   bool // it is asked of what no engine ran
	lacking []string
	err     error
}

func newEvidence(l *library, engine string, grids map[string]*grid) *evidence {
	return &evidence{library: l, engine: engine, grids: grids, draw: -1}
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

// String is a place as people say it.
func (p place) String() string {
	text := fmt.Sprintf("%s on %s at %d %% in %s", p.series, p.workload, p.load, p.figure)
	if p.group != results.All {
		text = p.group + " under " + text
	}
	return text
}

// of is a number such as slice_p50 of a place such as "fig06 huawei 90 alps G1".
func (e *evidence) of(where, stat string) float64 {
	at, err := parse(where)
	if err != nil {
		e.err = err
		return math.NaN()
	}
	if e.second && at.series == "alps" {
		at.series = artifact
	}
	s, err := e.library.get(at.figure, e.engine)
	if err != nil || s == nil {
		return e.lack("nothing of " + at.figure) // what is wrong with it is said where it is drawn
	}
	what, name := splitStat(stat)
	d := e.library.dist(s, at, what)
	if d.n() == 0 {
		return e.lack("no " + at.String())
	}
	if d.rounds < minRounds {
		return e.lack(fmt.Sprintf("%d of %d rounds of %s", d.rounds, minRounds, at))
	}
	if need := samplesFor(name); d.n() < need {
		return e.lack(fmt.Sprintf("%d of %d invocations for the %s of %s (maximum %s)", d.n(), need, name, at, withUnit(d.quantile(1), stat)))
	}
	if e.draw >= 0 {
		v, err := e.library.redraw(s, at, stat)
		if err != nil {
			e.err = err
		}
		if v != nil {
			e.drawn, e.empty = true, e.empty || math.IsNaN(v[e.draw])
			return v[e.draw]
		}
	}
	v, err := d.stat(name)
	if err != nil {
		e.err = err
	}
	return v
}

// cell is a value of a table, and the paper's. Tables are measured, if not by
// an engine.
func (e *evidence) cell(table, row, column string) (ours, paper float64) {
	if e.engine != results.EngineVM {
		e.other = true
		return math.NaN(), math.NaN()
	}
	g := e.grids[table]
	if g == nil || len(g.cells) == 0 {
		return e.lack("nothing of " + table), math.NaN()
	}
	if ours, paper = g.find(row, column); math.IsNaN(ours) {
		e.lack("no " + row + ", " + column + ", in " + table)
	}
	return ours, paper
}

// interval of the ratio of two numbers, over the draws.
func (e *evidence) interval(number, with, stat string) interval {
	var ratios []float64
	for draw := range draws {
		d := newEvidence(e.library, e.engine, e.grids)
		d.draw, d.second = draw, e.second
		ratio := d.of(number, stat) / d.of(with, stat)
		if !d.drawn || len(d.lacking) > 0 {
			break
		}
		ratios = append(ratios, ratio)
	}
	return middle95(ratios)
}

// slower is the share of invocations that took longer in a's series than in b's,
// by more than a hundredth: computed runs lack what a fork takes.
func (e *evidence) slower(figure, workload string, load int, a, b string) float64 {
	s, err := e.library.get(figure, e.engine)
	if err != nil || s == nil {
		return e.lack("nothing of " + figure)
	}
	more, n, rounds := 0, 0, 0
	for _, x := range s.series {
		for _, y := range s.series {
			at := place{figure: figure, workload: workload, load: load}
			if !at.has(x, a) || !at.has(y, b) || x.Result.Run.Round != y.Result.Run.Round || len(x.Result.Invocations) != len(y.Result.Invocations) {
				continue
			}
			rounds++
			for k, i := range x.Result.Invocations {
				if t := y.Result.Invocations[k].Turnaround(); i.Turnaround() > t+t/100 {
					more++
				}
				n++
			}
		}
	}
	if rounds < minRounds || n == 0 {
		return e.lack(fmt.Sprintf("%d of %d rounds of %s and %s on %s at %d %% in %s", rounds, minRounds, a, b, workload, load, figure))
	}
	return 100 * float64(more) / float64(n)
}

// answer of one engine.
type answer struct {
	seen    string
	ok      bool
	tested  bool
	noise   bool // chance alone may say otherwise
	lacking []string
}

// ask asks one engine, of alps-artifact in place of alps if second is set.
func (c claim) ask(l *library, engine string, grids map[string]*grid, second bool) (answer, error) {
	e := newEvidence(l, engine, grids)
	e.second = second
	seen, ok := c.check(e)
	if e.err != nil {
		return answer{}, fmt.Errorf("claim %s: %w", c.ID, e.err)
	}
	if e.other || len(e.lacking) > 0 {
		return answer{lacking: e.lacking}, nil
	}
	a := answer{seen: seen, ok: ok, tested: true}
	// What is seen must not go the other way in more than one draw of forty; what
	// is not seen must not be in as many.
	asked, otherwise := 0, 0
	for draw := range draws {
		e := newEvidence(l, engine, grids)
		e.draw, e.signs, e.second = draw, ok, second
		_, again := c.check(e)
		if e.err != nil {
			return answer{}, fmt.Errorf("claim %s: %w", c.ID, e.err)
		}
		if !e.drawn {
			break
		}
		if e.empty {
			continue
		}
		asked++
		if again != ok {
			otherwise++
		}
	}
	a.noise = float64(otherwise) > 0.025*float64(asked)
	return a, nil
}

// judge weighs what both engines say. What is within noise is not said.
func (c claim) judge(sim, vm answer) judged {
	j := judged{claim: c, Simulated: sim.seen, Measured: vm.seen, Verdict: notTested}
	var why []string
	for _, a := range []struct {
		answer
		did string
	}{{sim, "simulat"}, {vm, "measur"}} {
		switch {
		case a.tested && a.noise:
			why = append(why, fmt.Sprintf("What was %sed is within noise.", a.did))
		case !a.tested && len(a.lacking) > 0:
			why = append(why, fmt.Sprintf("Not %sed: %s.", a.did, strings.Join(a.lacking, "; ")))
		}
	}
	counts := func(a answer) bool { return a.tested && !a.noise }
	switch {
	case counts(vm) && vm.ok:
		j.Verdict = holds
		if counts(sim) && !sim.ok {
			why = append(why, "Simulation disagrees.")
		}
	case counts(vm):
		j.Verdict = doesNotHold
		if counts(sim) && sim.ok {
			why = append(why, "Simulation disagrees.")
		}
	case counts(sim) && sim.ok:
		j.Verdict = holdsInSim
	case sim.tested:
		j.Verdict = doesNotHold
	}
	j.Reason = strings.TrimSpace(strings.Join(append(why, c.reason), " "))
	return j
}

// seen is what both engines say.
func (j judged) seen() string {
	var out []string
	if j.Simulated != "" {
		out = append(out, "simulated "+j.Simulated)
	}
	if j.Measured != "" {
		out = append(out, "measured "+j.Measured)
	}
	return strings.Join(out, "; ")
}

// judgeAll judges every claim, and says where alps-artifact is judged otherwise.
func judgeAll(claims []claim, l *library, grids map[string]*grid) ([]judged, error) {
	var out []judged
	for _, c := range claims {
		var of [2]judged // alps, alps-artifact
		for i, second := range []bool{false, true} {
			sim, err := c.ask(l, results.EngineSim, grids, second)
			if err != nil {
				return nil, err
			}
			vm, err := c.ask(l, results.EngineVM, grids, second)
			if err != nil {
				return nil, err
			}
			of[i] = c.judge(sim, vm)
		}
		j, other := of[0], of[1]
		if other.Verdict != notTested && other.Verdict != j.Verdict {
			j.Reason = strings.TrimSpace(fmt.Sprintf("%s Of %s it %s: %s.", j.Reason, artifact, other.Verdict, other.seen()))
		}
		out = append(out, j)
	}
	return out, nil
}
