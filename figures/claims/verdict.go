// SPDX-License-Identifier: Apache-2.0

// Package claims holds what the paper claims, each as a check in code, and judges it by
// what was simulated and what was measured.
package claims

import (
	"fmt"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// Verdicts on a claim.
const (
	Holds       = "holds"
	HoldsInSim  = "holds in simulation only"
	DoesNotHold = "does not hold"
	NotTested   = "not tested here"
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

// Judged is a claim and what became of it.
type Judged struct {
	claim
	Simulated, Measured string // what was seen; empty if nothing could be
	Verdict, Reason     string
}

// TSV has a line per claim; what was seen is empty where nothing could be.
func TSV(claims []Judged) string {
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

// answer of one engine.
type answer struct {
	seen    string
	ok      bool
	tested  bool
	noise   bool // chance alone may say otherwise
	lacking []string
}

// ask asks one engine, of alps-artifact in place of alps if second is set.
func (c claim) ask(l *dataset.Library, engine string, grids map[string]*dataset.Grid, second bool) (answer, error) {
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
	for draw := range stats.Draws {
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
func (c claim) judge(sim, vm answer) Judged {
	j := Judged{claim: c, Simulated: sim.seen, Measured: vm.seen, Verdict: NotTested}
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
		j.Verdict = Holds
		if counts(sim) && !sim.ok {
			why = append(why, "Simulation disagrees.")
		}
	case counts(vm):
		j.Verdict = DoesNotHold
		if counts(sim) && sim.ok {
			why = append(why, "Simulation disagrees.")
		}
	case counts(sim) && sim.ok:
		j.Verdict = HoldsInSim
	case sim.tested:
		j.Verdict = DoesNotHold
	}
	j.Reason = strings.TrimSpace(strings.Join(append(why, c.reason), " "))
	return j
}

// seen is what both engines say.
func (j Judged) seen() string {
	var out []string
	if j.Simulated != "" {
		out = append(out, "simulated "+j.Simulated)
	}
	if j.Measured != "" {
		out = append(out, "measured "+j.Measured)
	}
	return strings.Join(out, "; ")
}

// Judge judges every claim, and says where alps-artifact is judged otherwise.
func Judge(claims []claim, l *dataset.Library, grids map[string]*dataset.Grid) ([]Judged, error) {
	var out []Judged
	for _, c := range claims {
		var of [2]Judged // alps, alps-artifact
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
		if other.Verdict != NotTested && other.Verdict != j.Verdict {
			j.Reason = strings.TrimSpace(fmt.Sprintf("%s Of %s it %s: %s.", j.Reason, paper.Artifact, other.Verdict, other.seen()))
		}
		out = append(out, j)
	}
	return out, nil
}
