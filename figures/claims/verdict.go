// SPDX-License-Identifier: Apache-2.0

// Package claims holds what the paper claims, each as a check in code, and judges it by
// what was simulated and what was measured, each by itself.
package claims

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// Verdict is what the results of one engine say of a claim.
type Verdict string

// Verdicts on a claim of an effect, by its size and the middle 95 % of a bootstrap; on a
// claim of a value or an order, which has no size, only Holds and Fails.
const (
	Holds    Verdict = "holds"                      // at least the threshold, and the interval spans no zero
	Smaller  Verdict = "same direction but smaller" // below the threshold, and the interval spans no zero
	NoEffect Verdict = "no effect"                  // the interval spans zero: within noise
	Opposite Verdict = "opposite"                   // the other direction, and the interval spans no zero
	Fails    Verdict = "does not hold"              // a value or an order is another
	NotDone  Verdict = "not measured"               // something lacks; of a simulation: not simulated
)

// Verdicts in the order they are shown.
var Verdicts = []Verdict{Holds, Smaller, NoEffect, Opposite, Fails, NotDone}

// Name is a verdict as an engine's results have it.
func (v Verdict) Name(engine string) string {
	if v == NotDone && engine == results.EngineSim {
		return "not simulated"
	}
	return string(v)
}

// worse says whether a claim of two parts with verdicts v and o has o.
func (v Verdict) worse(o Verdict) bool {
	rank := map[Verdict]int{Holds: 0, Smaller: 1, NoEffect: 2, Opposite: 3, Fails: 3}
	return rank[o] > rank[v]
}

// classify is the verdict on an effect. Size, interval and threshold are in one unit, and positive in the
// direction of the claim; 0 is no effect. If the interval is NaN, the size alone decides.
func classify(size float64, middle stats.Interval, threshold float64) Verdict {
	spans := middle.Lo <= 0 && middle.Hi >= 0
	switch {
	case spans || size == 0:
		return NoEffect
	case size < 0:
		return Opposite
	case size < threshold:
		return Smaller
	}
	return Holds
}

// Claim is what the paper says, and how results are asked about it.
type Claim struct {
	ID     string
	Text   string
	Source string // where the paper says or shows it
	Paper  string // its numbers
	check  check
	reason string // why our numbers are as they are, where that is known; else a note on how it is checked
}

// Answer is what one engine says of a claim.
type Answer struct {
	Verdict   Verdict
	Seen      string   // the numbers, with their interval; of NotDone nothing
	Threshold string   // from where on the claim holds
	Lacks     []string // of NotDone: sentences on what is missing
	Command   string   // of NotDone: what makes it
	Rounds    int      // the fewest behind a number; with 1 the interval is over the blocks of one run; 0: no runs are asked
	Apart     bool     // the claim is not asked of these runs: it is on a table, or on what paper.Headline does not repeat
}

// Judged is a claim and what became of it.
type Judged struct {
	Claim
	Figure              string // where its numbers are drawn
	Simulated, Measured Answer
	Large               Answer // measured on as many CPUs as the paper's: by paper.Headline
	Artifact            string // the verdicts on alps-artifact, where they are others
	Reason              string // why our numbers are as they are, where that is known
}

// OneRound says whether a verdict is of one round, of which nothing says how far another would differ.
func (a Answer) OneRound() bool { return a.Verdict != NotDone && a.Rounds == 1 }

// TSV has a line per claim; what was seen is empty where nothing could be.
func TSV(judged []Judged) string {
	var b strings.Builder
	b.WriteString("id\tfigure\tmeasured_verdict\tmeasured\tlarge_verdict\tlarge\tlarge_rounds\tsimulated_verdict\tsimulated\tthreshold\tpaper\ttext\treason\tfirst_come\n")
	for _, c := range judged {
		threshold := c.Measured.Threshold
		if threshold == "" {
			threshold = c.Simulated.Threshold
		}
		fields := []string{c.ID, c.Figure, c.Measured.Verdict.Name(results.EngineVM), c.Measured.Seen, c.Large.Verdict.Name(results.EngineVM), c.Large.Seen, count(c.Large.Rounds), c.Simulated.Verdict.Name(results.EngineSim), c.Simulated.Seen, threshold, c.Paper, c.Text, c.Reason, c.Artifact}
		for i, f := range fields {
			fields[i] = strings.Join(strings.Fields(f), " ")
		}
		b.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return b.String()
}

// count is a number of rounds; nothing of none.
func count(rounds int) string {
	if rounds == 0 {
		return ""
	}
	return strconv.Itoa(rounds)
}

// ask is the claim's answer from evidence, and the figure that the check asked for first.
func (c Claim) ask(e *evidence) (Answer, string, error) {
	f := c.check(e)
	if e.err != nil {
		return Answer{}, "", fmt.Errorf("claim %s: %w", c.ID, e.err)
	}
	if e.other {
		return Answer{Verdict: NotDone, Apart: true}, e.figure, nil
	}
	if len(e.lacking) > 0 {
		return Answer{Verdict: NotDone, Lacks: e.lacking, Command: e.command(), Threshold: f.threshold}, e.figure, nil
	}
	if len(e.derived) > 0 && !e.ran {
		return Answer{Verdict: NotDone, Threshold: f.threshold, Apart: e.large,
			Lacks: []string{fmt.Sprintf("Nothing that ran is asked, only %s: %s.", strings.Join(e.derived, ", "), f.seen)}}, e.figure, nil
	}
	seen := f.seen
	for _, d := range e.derived {
		seen += "; " + d
	}
	return Answer{Verdict: f.verdict, Seen: seen, Threshold: f.threshold, Rounds: e.rounds}, e.figure, nil
}

// Judge judges every claim by what was simulated, what was measured, and what paper.Headline measured, each by
// itself, and says where alps-artifact is judged otherwise. The error names a claim that asks for something malformed.
func Judge(all []Claim, l *dataset.Library, grids map[string]*dataset.Grid) ([]Judged, error) {
	var out []Judged
	for _, c := range all {
		j := Judged{Claim: c, Reason: c.reason}
		for _, of := range []struct {
			engine, did string
			large       bool
			answer      *Answer
		}{{results.EngineSim, "Simulated", false, &j.Simulated}, {results.EngineVM, "Measured", false, &j.Measured}, {results.EngineVM, "Measured on the paper's CPUs", true, &j.Large}} {
			e := newEvidence(l, of.engine, grids)
			e.large = of.large
			answer, figure, err := c.ask(e)
			if err != nil {
				return nil, err
			}
			*of.answer, j.Figure = answer, figure
			e = newEvidence(l, of.engine, grids)
			e.large, e.second = of.large, true
			other, _, err := c.ask(e)
			if err != nil {
				return nil, err
			}
			if other.Verdict != NotDone && other.Verdict != answer.Verdict {
				j.Artifact = strings.TrimSpace(fmt.Sprintf("%s %s, %s: %s, %s.", j.Artifact, of.did, paper.Artifact, other.Verdict, other.Seen))
			}
		}
		out = append(out, j)
	}
	return out, nil
}

// isNone says whether an interval is that of a statistic without one.
func isNone(i stats.Interval) bool { return math.IsNaN(i.Lo) }
