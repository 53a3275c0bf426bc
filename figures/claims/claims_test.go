// SPDX-License-Identifier: Apache-2.0

package claims

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/stats"
)

// Every claim asks for figures, series and groups that Complete has: a misspelt name would leave the claim without a
// verdict for ever.
func TestEveryClaimAsksForWhatThereIs(t *testing.T) {
	root := t.TempDir()
	figuretest.Complete(t, root)
	require.GreaterOrEqual(t, len(All), 25)
	l := dataset.NewLibrary(root)
	out, err := Judge(All, l, readGrids(t, l))
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, j := range out {
		require.False(t, ids[j.ID], j.ID)
		ids[j.ID] = true
		require.NotEmpty(t, j.Text+j.Source, j.ID)
		require.NotEmpty(t, j.Paper, j.ID)
		require.Regexp(t, `^(fig|table)\d+$`, j.Figure, j.ID)
		of := j.Simulated
		if of.Apart {
			of = j.Measured
		}
		require.NotEmpty(t, of.Threshold, j.ID)
		if of.Verdict == NotDone {
			// 40 and 10 invocations have no 99th percentile.
			require.Contains(t, strings.Join(of.Lacks, " "), "the p99 needs 200", j.ID)
			continue
		}
		require.NotContains(t, of.Seen, "NaN", j.ID)
		require.NotEmpty(t, of.Seen, j.ID)
	}
}

// What the paper plots bears out what it claims, so a claim is asked for the right numbers
// and in the right direction.
func TestThePapersOwnNumbersHold(t *testing.T) {
	ref, err := paper.NewReference()
	require.NoError(t, err)
	tables := map[string]*dataset.Grid{}
	for _, g := range dataset.Grids {
		own, err := g.OfPaper()
		require.NoError(t, err)
		tables[g.Name] = &own
	}
	asked, ofTables := 0, 0
	for _, c := range All {
		known := true
		e := newEvidence(nil, results.EngineVM, nil)
		e.grids = tables
		e.plotted = func(at paper.Position, stat string) float64 {
			for _, n := range ref.At(at) {
				if n.Stat == stat {
					return n.Value
				}
			}
			if at.Figure == paper.Bars && at.Group == results.All { // which Fig 6 does not show
				at.Figure = paper.Curves
				for _, n := range ref.At(at) {
					if n.Stat == stat {
						return n.Value
					}
				}
			}
			known = false
			return math.NaN()
		}
		f := c.check(e)
		require.NoError(t, e.err)
		if !known || e.other || len(e.lacking) > 0 {
			continue // of what the paper says in words only
		}
		asked++
		if strings.HasPrefix(e.figure, "table") {
			ofTables++
		}
		require.Equal(t, Holds, f.verdict, "%s: %s", c.ID, f.seen)
	}
	require.Greater(t, asked, 31)
	require.Equal(t, 6, ofTables, "every claim on a table")
}

func readGrids(t *testing.T, l *dataset.Library) map[string]*dataset.Grid {
	t.Helper()
	out := map[string]*dataset.Grid{}
	for _, g := range dataset.Grids {
		_, err := g.Read(l)
		require.NoError(t, err)
		out[g.Name] = &g
	}
	return out
}

func TestClassify(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		size, lo, hi float64
		want         Verdict
	}{
		{0.5, 0.4, 0.6, Holds},
		{0.3, 0.2, 0.4, Holds}, // the threshold itself
		{0.28, 0.26, 0.30, Smaller},
		{0.28, -0.1, 0.6, NoEffect}, // within noise, whatever the middle says
		{0.5, -0.1, 0.9, NoEffect},
		{-0.01, -0.05, 0.02, NoEffect},
		{-0.2, -0.3, -0.1, Opposite},
		{-0.2, -0.3, 0, NoEffect},
		{0, nan, nan, NoEffect},
		{0.1, nan, nan, Smaller},
		{-0.1, nan, nan, Opposite},
	} {
		require.Equal(t, c.want, classify(c.size, stats.Interval{Lo: c.lo, Hi: c.hi}, 0.3), "%v", c)
	}
}

func TestVerdicts(t *testing.T) {
	c := Claim{ID: "c", Text: "shorter", Source: "text", Paper: "−60 %", check: less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 60), reason: "It is so."}
	const quick, sim = "go run mage.go experiments:run -profile=quick fig06", "go run mage.go experiments:run -engine=sim fig06"
	// Waits under ALPS, a scale for each round; under CFS the scale is 4.
	rounds := func(engine string, alps ...float64) (out []results.Result) {
		for i, scale := range alps {
			out = append(out, figuretest.Made(engine, "huawei", "cfs", i+1, 4), figuretest.Made(engine, "huawei", "alps", i+1, scale))
		}
		return out
	}
	for _, x := range []struct {
		alps    []float64
		verdict Verdict
		lacks   string
	}{
		{[]float64{1, 1, 1}, Holds, ""},
		{[]float64{2.4, 2.4, 2.4}, Smaller, ""},
		{[]float64{1, 3, 12}, NoEffect, ""}, // the rounds contradict each other
		{[]float64{12, 12, 12}, Opposite, ""},
		{[]float64{1, 1}, NotDone, "fig06 has 2 rounds of alps on huawei at 90 %; a verdict needs 3."},
		{nil, NotDone, "Nothing of fig06 was "},
	} {
		for _, engine := range dataset.Engines {
			root := t.TempDir()
			if x.alps != nil {
				figuretest.Shows(t, root, "fig06", 0.9, rounds(engine, x.alps...)...)
			}
			out, err := Judge([]Claim{c}, dataset.NewLibrary(root), nil)
			require.NoError(t, err)
			j := out[0]
			require.Equal(t, "fig06", j.Figure)
			require.Equal(t, "It is so.", j.Reason)
			of, other, command := j.Simulated, j.Measured, sim
			if engine == results.EngineVM {
				of, other, command = j.Measured, j.Simulated, quick
			}
			require.Equal(t, x.verdict, of.Verdict, "%v %s", x.alps, of.Seen)
			require.Equal(t, NotDone, other.Verdict, "one engine says nothing of the other's runs")
			require.NotEmpty(t, other.Command)
			require.Equal(t, "from −40.0 %", of.Threshold)
			if x.lacks != "" {
				require.Contains(t, strings.Join(of.Lacks, " "), x.lacks)
				require.Equal(t, command, of.Command)
				require.Empty(t, of.Seen)
				continue
			}
			require.Regexp(t, `^[\d,]+ → [\d,]+ ms, .+ \(.+ to .+\)$`, of.Seen)
			require.Empty(t, of.Lacks)
		}
	}
	for _, where := range []string{"fig06 huawei alps all", "fig06 huawei ninety alps all"} {
		_, err := Judge([]Claim{{ID: "bad", check: about(where, "mean", 1, 1)}}, dataset.NewLibrary(t.TempDir()), nil)
		require.ErrorContains(t, err, "claim bad: position")
	}
}

// Runs on as many CPUs as the paper's answer for the figures that they repeat, and for no
// other; one round of them will do, and what ran on fewer CPUs does not count.
func TestVerdictOnThePapersCPUs(t *testing.T) {
	root := t.TempDir()
	figuretest.Shows(t, root, paper.Headline, 0.9, figuretest.VM("cfs", 1, 4), figuretest.VM("alps", 1, 1), figuretest.VM(paper.Artifact, 1, 12))
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 2, 1), figuretest.VM("alps", 2, 4))
	for _, x := range []struct {
		check check
		want  Answer
	}{
		{less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 30), Answer{Verdict: Holds}},
		{less("fig07 huawei 90 alps all", "fig07 huawei 90 cfs all", "mean", 30), Answer{Verdict: Holds}},
		{slowerUnder("cfs", "alps"), Answer{Verdict: Holds}},
		{less("fig06 huawei 80 alps all", "fig06 huawei 80 cfs all", "mean", 30), Answer{Verdict: NotDone, Apart: true}},
		{less("fig09 huawei 90 alps all", "fig09 huawei 90 cfs all", "mean", 30), Answer{Verdict: NotDone, Apart: true}},
		{mixed("huawei"), Answer{Verdict: NotDone, Apart: true}},
		{less("fig06 azure 90 alps all", "fig06 azure 90 cfs all", "mean", 30), Answer{Verdict: NotDone, Lacks: []string{
			"headline has no valid run of alps on azure at 90 %.", "headline has no valid run of cfs on azure at 90 %."},
			Command: "go run mage.go experiments:run headline -profile=headline -accel=vtime"}},
	} {
		out, err := Judge([]Claim{{ID: "c", check: x.check}}, dataset.NewLibrary(root), nil)
		require.NoError(t, err)
		got := out[0].Large
		require.Equal(t, x.want.Verdict == NotDone, got.Seen == "")
		require.Equal(t, x.want.Verdict == Holds, got.OneRound())
		got.Seen, got.Threshold, got.Rounds = "", "", 0
		require.Equal(t, x.want, got)
		require.NotEqual(t, paper.Headline, out[0].Figure, "the claim stays beside the paper's figure")
		if x.want.Verdict == Holds {
			require.Equal(t, NotDone, out[0].Measured.Verdict, "one round on fewer CPUs is none")
		}
	}
	out, err := Judge([]Claim{{ID: "c", check: less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 30)}}, dataset.NewLibrary(root), nil)
	require.NoError(t, err)
	require.Regexp(t, `^Measured on the paper's CPUs, alps-artifact: opposite, `, out[0].Artifact)
	f, err := Change(dataset.NewLibrary(root), results.EngineVM, "headline huawei 90 alps all", "headline huawei 90 cfs all", "mean")
	require.NoError(t, err)
	require.Empty(t, f.Lacks)
}

// slowerUnder: more than half of the invocations are slower under a than under b.
func slowerUnder(a, b string) check {
	return func(e *evidence) finding {
		v := e.slower("fig01", "huawei", 90, a, b)
		return value("some", "half", v > 50)
	}
}

// Of two parts the worse one counts.
func TestBothHasTheWorstVerdict(t *testing.T) {
	of := func(v Verdict) check { return func(*evidence) finding { return finding{string(v), "t", v} } }
	require.Equal(t, Holds, both(of(Holds), of(Holds))(nil).verdict)
	require.Equal(t, Smaller, both(of(Smaller), of(Holds))(nil).verdict)
	require.Equal(t, NoEffect, both(of(Smaller), of(NoEffect))(nil).verdict)
	require.Equal(t, Opposite, both(of(Opposite), of(NoEffect))(nil).verdict)
	require.Equal(t, "t", both(of(Holds), of(Smaller))(nil).threshold)
	require.Equal(t, "not simulated", NotDone.Name(results.EngineSim))
	require.Equal(t, "not measured", NotDone.Name(results.EngineVM))
}

// Where first come, first served is judged otherwise than by rank, the claim says so.
func TestVerdictOnTheArtifact(t *testing.T) {
	c := Claim{ID: "c", check: less("fig06 huawei 90 alps all", "fig06 huawei 90 cfs all", "mean", 30)}
	for _, x := range []struct {
		alps, artifact float64 // scales of waits; CFS's is 4
		verdict        Verdict
		says           string
	}{
		{1, 1, Holds, `^$`},
		{1, 40, Holds, `^Simulated, alps-artifact: opposite, [\d,]+ → [\d,]+ ms, .*\)\.$`},
		{40, 1, Opposite, `^Simulated, alps-artifact: holds, [\d,]+ → [\d,]+ ms, −.*\)\.$`},
	} {
		root := t.TempDir()
		var runs []results.Result
		for round := 1; round <= dataset.MinRounds; round++ {
			runs = append(runs, figuretest.Sim("cfs", round, 4), figuretest.Sim("alps", round, x.alps), figuretest.Sim(paper.Artifact, round, x.artifact))
		}
		figuretest.Shows(t, root, "fig06", 0.9, runs...)
		out, err := Judge([]Claim{c}, dataset.NewLibrary(root), nil)
		require.NoError(t, err)
		require.Equal(t, x.verdict, out[0].Simulated.Verdict)
		require.Regexp(t, x.says, out[0].Artifact)
	}
}

// A direction alone is not enough.
func TestAnEffectNeedsItsSize(t *testing.T) {
	root := t.TempDir()
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.Sim("cfs", 1, 2), figuretest.Sim("alps", 1, 1), figuretest.Sim("cfs", 2, 2), figuretest.Sim("alps", 2, 1), figuretest.Sim("cfs", 3, 2), figuretest.Sim("alps", 3, 1))
	e := newEvidence(dataset.NewLibrary(root), results.EngineSim, nil)
	a, b := "fig06 huawei 90 alps all", "fig06 huawei 90 cfs all"
	cut := 100 * (1 - e.of(a, "mean")/e.of(b, "mean"))
	require.Greater(t, cut, 10.0)
	for paper, want := range map[float64]Verdict{cut: Holds, cut*1.5 - 0.2: Holds, cut*1.5 + 0.2: Smaller} {
		require.Equal(t, want, less(a, b, "mean", paper)(e).verdict)
	}
	rise := 100 * (e.of(b, "mean")/e.of(a, "mean") - 1)
	for paper, want := range map[float64]Verdict{rise*1.5 - 0.2: Holds, rise*1.5 + 0.2: Smaller} {
		require.Equal(t, want, more(b, a, "mean", paper)(e).verdict)
	}
	require.Equal(t, Opposite, more(a, b, "mean", 10)(e).verdict)
	require.Equal(t, Holds, noWorse(a, b, "mean")(e).verdict)
	require.Equal(t, Opposite, noWorse(b, a, "mean")(e).verdict)
	require.Equal(t, Holds, falling("mean", b, a)(e).verdict)
	require.Equal(t, Fails, falling("mean", a, b)(e).verdict)
	require.Equal(t, Fails, falling("mean", b, b)(e).verdict, "what is alike is in no order")
	require.Equal(t, Holds, within("mean", rise/100+0.01, a, b)(e).verdict)
	require.Equal(t, Fails, within("mean", rise/100-0.01, a, b)(e).verdict)
	// Of two exponential waits, one twice as long on average, that one is longer in two of three pairs.
	require.InDelta(t, 200.0/3, e.slower("fig06", "huawei", 90, "cfs", "alps"), 5)
	require.InDelta(t, 100.0/3, e.slower("fig06", "huawei", 90, "alps", "cfs"), 5)
	require.Zero(t, e.slower("fig06", "huawei", 90, "cfs", "cfs"))
	require.Empty(t, e.lacking)

	f, err := Change(e.library, results.EngineSim, a, b, "request_mean")
	require.NoError(t, err)
	require.Empty(t, f.Lacks)
	require.Regexp(t, `^−[\d.]+ % \(−[\d.]+ to −[\d.]+ %\)$`, f.Text())
	f, err = Change(e.library, results.EngineVM, a, b, "mean")
	require.NoError(t, err)
	require.Equal(t, "Nothing of fig06 was measured.", f.Lacks)
}

// A line per claim, whatever is in its text.
func TestClaimsTSV(t *testing.T) {
	got := TSV([]Judged{
		{Claim: Claim{ID: "a", Text: "one\n\ttwo", Paper: "−57 %"}, Figure: "fig06", Reason: "It is so.", Artifact: "Other.", Measured: Answer{Verdict: Holds, Seen: "−49 %"}, Large: Answer{Verdict: Opposite, Seen: "+2 %", Rounds: 1}, Simulated: Answer{Verdict: Smaller, Seen: "−30 %", Threshold: "from −38 % on"}},
		{Claim: Claim{ID: "b", Text: "three"}, Figure: "fig01", Measured: Answer{Verdict: NotDone}, Large: Answer{Verdict: NotDone}, Simulated: Answer{Verdict: NotDone}},
	})
	require.Equal(t, "id\tfigure\tmeasured_verdict\tmeasured\tlarge_verdict\tlarge\tlarge_rounds\tsimulated_verdict\tsimulated\tthreshold\tpaper\ttext\treason\tfirst_come\n"+
		"a\tfig06\tholds\t−49 %\topposite\t+2 %\t1\tsame direction but smaller\t−30 %\tfrom −38 % on\t−57 %\tone two\tIt is so.\tOther.\nb\tfig01\tnot measured\t\tnot measured\t\t\tnot simulated\t\t\t\tthree\t\t\n", got)
}

// CI shows the claims of claims.tsv as they are, whatever columns it has; a column that is gone is an error.
func TestCIShowsTheClaims(t *testing.T) {
	file := filepath.Join(t.TempDir(), "claims.tsv")
	script := filepath.Join("..", "..", ".ci", "verdicts")
	judged := func(id string, measured Verdict) Judged {
		return Judged{Claim: Claim{ID: id, Text: "claim|" + id, Paper: "−57 %"}, Figure: "fig06", Measured: Answer{Verdict: measured, Seen: "−49 %"},
			Large: Answer{Verdict: Opposite, Seen: "+2 %"}, Simulated: Answer{Verdict: Smaller, Seen: "−30 %"}}
	}
	text := TSV([]Judged{judged("a", Smaller), judged("b", Holds), judged("c", Smaller)})
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	out, err := exec.Command(script, file).Output()
	require.NoError(t, err)
	require.Equal(t, "### Claims\n\n| verdict | claims |\n|---|---|\n| same direction but smaller | 2 |\n| holds | 1 |\n\n"+
		"| claim | verdict | measured | simulated | paper |\n|---|---|---|---|---|\n"+
		"| claim\\|a | same direction but smaller | −49 % | −30 % | −57 % |\n| claim\\|b | holds | −49 % | −30 % | −57 % |\n"+
		"| claim\\|c | same direction but smaller | −49 % | −30 % | −57 % |\n\n", string(out))
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(text, "\tpaper\t", "\tprinted\t", 1)), 0o644))
	said, err := exec.Command(script, file).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "claims.tsv has no column paper")
	run, err := os.ReadFile(filepath.Join("..", "..", ".ci", "run"))
	require.NoError(t, err)
	require.Contains(t, string(run), ".ci/verdicts report/claims.tsv | note")
}

// Invocations that are not OK in both runs are compared in none, and the others stay in pairs.
func TestSlowerLeavesOutWhatFailed(t *testing.T) {
	root := t.TempDir()
	var runs []results.Result
	for round := 1; round <= dataset.MinRounds; round++ {
		a, b := figuretest.Sim("cfs", round, 1), figuretest.Sim("srpt", round, 1)
		for i := range a.Invocations {
			a.Invocations[i].EndNS = b.Invocations[i].EndNS
		}
		a.Invocations[0].EndNS += 9e9              // one of ten that count is slower
		for i := 10; i < len(a.Invocations); i++ { // of these none counts
			a.Invocations[i].EndNS += 9e9
			x := &a.Invocations[i]
			if i%2 == 0 {
				x = &b.Invocations[i]
			}
			x.Status = results.Failed
		}
		runs = append(runs, a, b)
	}
	figuretest.Shows(t, root, "fig01", 0.9, runs...)
	e := newEvidence(dataset.NewLibrary(root), results.EngineSim, nil)
	require.InDelta(t, 10, e.slower("fig01", "huawei", 90, "cfs", "srpt"), 1e-9)
	require.Empty(t, e.lacking)
}

// Without one of its two rows the ratio of switches is missing; it is not 0.
func TestSwitchRatioNeedsBothRows(t *testing.T) {
	with := dataset.Cell{Row: "context switch, hooks asked, entry", Column: "instructions in the guest", Ours: 6000}
	without := dataset.Cell{Row: "context switch, hooks not asked", Column: "instructions in the guest", Ours: 5000}
	none := dataset.Cell{Row: with.Row, Column: "ns", Ours: math.NaN()}
	require.InDelta(t, 1.2, switchRatio(&dataset.Grid{Cells: []dataset.Cell{with, without, none}}), 1e-9)
	require.True(t, math.IsNaN(switchRatio(&dataset.Grid{Cells: []dataset.Cell{without}})))
	require.True(t, math.IsNaN(switchRatio(&dataset.Grid{Cells: []dataset.Cell{with}})))
	require.True(t, math.IsNaN(switchRatio(nil)))
}
