package figures

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/ds2-lab/alps/experiments/results"
)

// other is a number that the paper gives or plots outside of Fig 6. Stat is
// mean or a percentile such as p50, of the turnaround, or of what stands before
// it: slice_p50, of the turns on a CPU; switches_p50, per invocation; saved_p50, of
// how much shorter each invocation is than under CFS; saved+11ms_p50 and
// saved+1..10ms_p50, likewise with a platform's cost added to both (Fig 8).
type other struct {
	Figure, Workload string
	LoadPct          int
	Group, Series    string
	Stat             string
	Value            float64
	Unit             string
}

// addOthers compares the single numbers of a figure.
func (f *fidelity) addOthers(figure string, valid []results.Series, others []other) error {
	for _, o := range others {
		if o.Figure != figure {
			continue
		}
		find := func(series string) *results.Result {
			for _, s := range valid {
				if s.Name == series && s.Result.Run.Workload == o.Workload && pct(s.Load) == o.LoadPct {
					return &s.Result
				}
			}
			return nil
		}
		r, base := find(o.Series), find(strings.Replace(o.Series, "alps", "cfs", 1))
		if r == nil {
			continue // not valid, and said so
		}
		ours, n, err := o.measure(*r, base)
		if err != nil {
			return err
		}
		f.Values = append(f.Values, value{o.Figure, o.Workload, o.LoadPct, o.Group, o.Series, o.Stat, o.Unit, ours, o.Value, n})
	}
	return nil
}

// measure is our value of o, and how many are behind it; base is the run under
// CFS, if there is one.
func (o other) measure(r results.Result, base *results.Result) (float64, int, error) {
	what, st, ok := strings.Cut(o.Stat, "_")
	if !ok {
		what, st = "", o.Stat
	}
	q, err := strconv.ParseFloat(strings.TrimPrefix(st, "p"), 64)
	if err != nil && st != "mean" {
		return 0, 0, fmt.Errorf("paper/others.csv: %s: stat %q: want mean or a percentile", o.Figure, o.Stat)
	}
	var v []float64
	switch what {
	case "slice":
		return sliceQuantile(r.Slices, o.Group, q/100)
	case "switches":
		for _, i := range r.Invocations {
			v = append(v, float64(i.SwitchesInvol))
		}
	case "saved", "saved+11ms", "saved+1..10ms":
		if base == nil || len(base.Invocations) != len(r.Invocations) {
			return math.NaN(), 0, nil
		}
		for k, i := range r.Invocations {
			cost := platformCost(what, k)
			v = append(v, 100*(1-float64(i.Turnaround()+cost)/float64(base.Invocations[k].Turnaround()+cost)))
		}
	default:
		v = turnarounds(r.Invocations, o.Group)
	}
	if st == "mean" {
		return stat.Mean(v, nil), len(v), nil
	}
	slices.Sort(v)
	return results.Quantile(q/100, v), len(v), nil
}

// platformCost is what Fig 8 adds to invocation k.
func platformCost(what string, k int) time.Duration {
	switch what {
	case "saved+11ms":
		return 11 * time.Millisecond
	case "saved+1..10ms":
		rng := rand.New(rand.NewPCG(uint64(k), 8))
		return time.Millisecond + time.Duration(rng.Int64N(int64(9*time.Millisecond)+1))
	}
	return 0
}

// sliceQuantile is that of the turns of a group, or of results.All, in ms.
func sliceQuantile(turns []results.Slices, group string, p float64) (float64, int, error) {
	var mine []results.Slices
	total := int64(0)
	for _, t := range turns {
		if group == results.All || t.Group == group {
			mine = append(mine, t)
			total += t.Count
		}
	}
	slices.SortFunc(mine, func(a, b results.Slices) int { return cmp.Compare(a.Length, b.Length) })
	seen := int64(0)
	for _, t := range mine {
		if seen += t.Count; float64(seen) >= p*float64(total) {
			return ms(t.Length.Nanoseconds()), int(total), nil
		}
	}
	return math.NaN(), 0, nil
}
