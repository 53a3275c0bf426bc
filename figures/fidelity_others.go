package figures

import (
	"fmt"

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
		r, base := find(o.Series), find(savedAgainst)
		if a := find(artifact); a != nil && o.Series == "alps" {
			r, o.Series = a, artifact // as in newFidelity
		}
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
	what, name := splitStat(o.Stat)
	d := measure(what, o.Group, r, base)
	v, err := d.stat(name)
	if err != nil {
		return 0, 0, fmt.Errorf("paper/others.csv: %s: %w", o.Figure, err)
	}
	return v, int(d.n()), nil
}
