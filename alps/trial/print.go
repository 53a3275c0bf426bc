// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/ds2-lab/alps/figures/format"
	"github.com/ds2-lab/alps/figures/stats"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var out bytes.Buffer
	a, b := r.Modes[0].Policy, r.Modes[1].Policy
	fmt.Fprintf(&out, "%s against %s: %d of %s counted; a period is %s, of which the first %s do not count\n", b, a, r.Counted, format.Plural(r.Rounds, "round"), r.EachNS, r.SettleNS)
	if r.Ended != "" {
		fmt.Fprintf(&out, "ended before its time: %s\n", r.Ended)
	}
	groups := append([]Group{r.All}, r.Functions...)

	fmt.Fprintf(&out, "\nTurnaround under %s against %s: change over the rounds, with the 95 %% interval\n", b, a)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "function\trounds\tmean\t\tP99")
	for _, g := range groups {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", g.label(), g.Mean.Rounds, g.Mean.interval(), g.Mean.Verdict, join(g.P99.interval(), string(g.P99.Verdict)))
	}
	t.Flush()

	fmt.Fprintf(&out, "\nInvocations of these rounds; times in ms, wait for a CPU, P99 of %d or more\n", stats.MinP99)
	t = tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "policy\tinvocations\tunfinished\tmean CPU\tmean wait\tmean turnaround\tP50\tP99\t  function")
	for _, g := range groups {
		for s, m := range []Measured{g.A, g.B} {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t  %s\n", r.Modes[s].Policy, count(m.Invocations), count(m.Unfinished),
				ms(m, m.MeanCPUNS), ms(m, m.MeanWaitNS), ms(m, m.MeanNS), ms(m, m.P50NS), m.p99(), g.label())
		}
	}
	t.Flush()

	fmt.Fprintln(&out, "\nPeriods")
	t = tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "round\tpolicy\tinvocations\tCPU time\tsettling\tunfinished\t")
	for _, p := range r.Periods {
		left := ""
		if p.LeftOut != "" {
			left = "  not counted: " + p.LeftOut
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%.1fs\t%s\t%s\t%s\n", p.Round, p.Policy, count(p.Invocations), p.CPUNS.Seconds(), count(p.Settling), count(p.Unfinished), left)
	}
	t.Flush()

	if len(r.Others) > 0 {
		fmt.Fprintf(&out, "\nNo verdict: it needs 2 rounds with %d invocations or more in both periods\n", MinInvocations)
		t = tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		for _, o := range r.Others {
			fmt.Fprintf(t, "  %s\t%s under %s, %s under %s", label(o.UID, o.Name), format.Plural(o.A, "invocation"), a, count(o.B), b)
			if o.Unfinished > 0 {
				fmt.Fprintf(t, "; %s ended after their periods", count(o.Unfinished))
			}
			fmt.Fprintln(t)
		}
		t.Flush()
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(&out, "\nKnow with these numbers\n")
		for _, n := range r.Notes {
			fmt.Fprintf(&out, "- %s\n", n)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// interval is the change and its interval in words; nothing where there are no numbers.
func (c Change) interval() string {
	if c.Rounds < 2 {
		return ""
	}
	of := func(percent float64) string { return format.Change(1 + percent/100) }
	return fmt.Sprintf("%s (%s to %s)", of(c.Percent), of(c.Lo), of(c.Hi))
}

func join(change, verdict string) string {
	if change == "" {
		return verdict
	}
	return change + "  " + verdict
}

func (g Group) label() string {
	if g.UID == "" {
		return "all functions"
	}
	return label(g.UID, g.Name)
}

func (m Measured) p99() string {
	if m.P99NS == 0 {
		return "-"
	}
	return ms(m, m.P99NS)
}

func count(n int) string { return format.Grouped(float64(n), 0) }

// ms is a time of what was measured in ms; of nothing it is -.
func ms(m Measured, d time.Duration) string {
	if m.Invocations == 0 {
		return "-"
	}
	return format.Grouped(float64(d)/float64(time.Millisecond), 1)
}
