package figures

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/ds2-lab/alps/experiments/results"
)

// minP99 is how many samples a 99th percentile needs; with fewer the maximum
// is shown, and called so.
const minP99 = 200

// bar is one number of Fig 6.
type bar struct {
	Group     string
	Stat      string // p50, p75, p90, p99 or max, mean
	Scheduler string
	Engine    string
	OursMS    float64 // NaN if there is no sample
	PaperMS   float64 // NaN if the paper has none; a maximum is not compared
	N         int
}

// fig06 is the table behind the figure.
type fig06 struct {
	Workload   string
	Engine     string
	Schedulers []string // in the order they are drawn
	Bars       []bar
	Switches   map[string]float64 // scheduler → mean switches per invocation
	EndToEnd   map[string]float64 // scheduler → mean from request to exit, ms
	Overall    map[string]float64 // scheduler → mean turnaround, ms
	Footer     string             // the conditions, in one line
}

// schedulerOrder is that of the paper's figures.
var schedulerOrder = []string{"rr", "fifo", "cfs", "sfs", "alps", "srpt"}

// newFig06 pools the valid runs of one engine by scheduler.
func newFig06(runs []results.Result, engine string) (fig06, error) {
	paper, err := paperFig06()
	if err != nil {
		return fig06{}, err
	}
	f := fig06{Engine: engine, Switches: map[string]float64{}, EndToEnd: map[string]float64{}, Overall: map[string]float64{}}
	byScheduler := map[string][]results.Invocation{}
	for _, r := range runs {
		if r.Run.Engine != engine || !r.Run.Valid {
			continue
		}
		f.Workload = r.Run.Workload
		f.Footer = footer(r.Run)
		byScheduler[r.Run.Scheduler] = append(byScheduler[r.Run.Scheduler], r.Invocations...)
	}
	for s := range byScheduler {
		f.Schedulers = append(f.Schedulers, s)
	}
	rank := func(s string) int {
		if i := slices.Index(schedulerOrder, s); i >= 0 {
			return i
		}
		return len(schedulerOrder)
	}
	slices.SortFunc(f.Schedulers, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, s := range f.Schedulers {
		var all, e2e, sw []float64
		for _, i := range byScheduler[s] {
			if i.Status == results.OK {
				all = append(all, ms(i.Turnaround().Nanoseconds()))
				e2e = append(e2e, ms(i.EndToEnd().Nanoseconds()))
				sw = append(sw, float64(i.SwitchesVol+i.SwitchesInvol))
			}
		}
		f.Overall[s], f.EndToEnd[s], f.Switches[s] = stat.Mean(all, nil), stat.Mean(e2e, nil), stat.Mean(sw, nil)
	}
	for _, g := range results.Groups {
		for _, s := range f.Schedulers {
			var v []float64
			for _, i := range byScheduler[s] {
				if i.Group == g && i.Status == results.OK {
					v = append(v, ms(i.Turnaround().Nanoseconds()))
				}
			}
			slices.Sort(v)
			ref, known := paper[f.Workload][g][s]
			if !known {
				nan := math.NaN()
				ref = stats{nan, nan, nan, nan, nan}
			}
			add := func(name string, ours, paper float64) {
				f.Bars = append(f.Bars, bar{g, name, s, engine, ours, paper, len(v)})
			}
			add("p50", results.Quantile(0.50, v), ref.P50)
			add("p75", results.Quantile(0.75, v), ref.P75)
			add("p90", results.Quantile(0.90, v), ref.P90)
			if len(v) >= minP99 {
				add("p99", results.Quantile(0.99, v), ref.P99)
			} else {
				add("max", results.Quantile(1, v), math.NaN())
			}
			add("mean", stat.Mean(v, nil), ref.Mean)
		}
	}
	return f, nil
}

// footer names the conditions that all pooled runs share.
func footer(r results.Run) string {
	kernel := "kernel " + r.Kernel
	if r.KernelFallback {
		kernel += " (not the paper's 5.18-rc5)"
	}
	return fmt.Sprintf("%s; %s, %d of %d CPUs for functions; %s, %d invocations a run; load asked %.0f %%; code %s",
		kernel, r.Accelerator, r.FunctionCPUs, r.CPUs, r.Workload, r.Invocations, 100*r.LoadAsked, r.Revision)
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// tsv is the table as people review it.
func (f fig06) tsv() string {
	var b strings.Builder
	b.WriteString("workload\tengine\tgroup\tstat\tscheduler\tours_ms\tpaper_ms\tours/paper\tn\n")
	for _, r := range f.Bars {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", f.Workload, r.Engine, r.Group, r.Stat, r.Scheduler,
			num(r.OursMS, 1), num(r.PaperMS, 1), num(r.OursMS/r.PaperMS, 2), r.N)
	}
	return b.String()
}

// num prints a number with fixed precision, and nothing for none.
func num(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// find returns a bar's value.
func (f fig06) find(group, statistic, scheduler string) (bar, bool) {
	for _, b := range f.Bars {
		if b.Group == group && b.Stat == statistic && b.Scheduler == scheduler {
			return b, true
		}
	}
	return bar{}, false
}
