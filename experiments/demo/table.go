// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
)

// outcome is the invocations of the burst under one scheduler.
type outcome struct {
	scheduler   string
	invocations []results.Invocation
}

// times are the mean and the longest time from the request to the end.
type times struct {
	n             int
	mean, longest time.Duration
}

// of is the times of the invocations of a group; "" is all of them.
func (o outcome) of(group string) times {
	var t times
	var sum time.Duration
	for _, i := range o.invocations {
		if group != "" && i.Group != group {
			continue
		}
		t.n++
		sum += i.EndToEnd()
		t.longest = max(t.longest, i.EndToEnd())
	}
	if t.n > 0 {
		t.mean = sum / time.Duration(t.n)
	}
	return t
}

// table writes the times of every class under each scheduler, and by how much
// the last one's mean differs from the first one's.
func table(w io.Writer, runs []outcome) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "from the request to the end\t")
	for _, r := range runs {
		fmt.Fprintf(tw, "%s mean\tlongest\t", r.scheduler)
	}
	fmt.Fprintln(tw, "change of the mean\t")
	row := func(name, group string) {
		fmt.Fprintf(tw, "%s\t", name)
		for _, r := range runs {
			t := r.of(group)
			fmt.Fprintf(tw, "%s\t%s\t", milliseconds(t.mean), milliseconds(t.longest))
		}
		fmt.Fprintf(tw, "%s\t\n", change(runs[0].of(group).mean, runs[len(runs)-1].of(group).mean))
	}
	for i, c := range classes {
		row(fmt.Sprintf("%d %s, %s each", c.requests, c.name, milliseconds(c.cpu)), group(i))
	}
	row("all", "")
	return tw.Flush()
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// change is by how much b differs from a, in percent of a.
func change(a, b time.Duration) string {
	if a == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.0f %%", 100*(float64(b)/float64(a)-1))
}
