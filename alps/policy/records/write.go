// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
)

// Jobs are the rows for policy.SRPT.
func Jobs(rows []Row) []policy.Job {
	jobs := make([]policy.Job, len(rows))
	for i, r := range rows {
		jobs[i] = policy.Job{ID: r.ID, Arrive: r.Arrive, Burst: r.Burst}
	}
	return jobs
}

// Window is the rows for policy.Policy.Update. A row does not say when its
// invocation ended, and Update does not need it: End is 0.
func Window(rows []Row) []policy.Record {
	records := make([]policy.Record, len(rows))
	for i, r := range rows {
		records[i] = policy.Record{UID: r.Function, Arrive: r.Arrive, CPU: r.Burst}
	}
	return records
}

// WriteOutcomes writes id,function,wait_ms,slices_ms, in the order of rows;
// slices are separated by spaces.
func WriteOutcomes(w io.Writer, rows []Row, outcomes []policy.Outcome) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"id", "function", "wait_ms", "slices_ms"}) // Error tells
	var text []string
	for i, r := range rows {
		text = text[:0]
		for _, s := range outcomes[i].Slices {
			text = append(text, FormatMS(s))
		}
		_ = c.Write([]string{strconv.FormatInt(r.ID, 10), r.Function, FormatMS(outcomes[i].Wait), strings.Join(text, " ")})
	}
	c.Flush()
	return c.Error()
}

// WriteTable writes function,used_ms,index_ms,slope,quantum_end_ms, a row for each
// step of a function's table: from that CPU time used on, up to the next row's, an
// invocation has that index, which changes by slope with every ms used, and its
// quantum ends at quantum_end_ms. header says whether to name the columns.
func WriteTable(w io.Writer, function string, t *policy.Table, header bool) error {
	c := csv.NewWriter(w)
	if header {
		_ = c.Write([]string{"function", "used_ms", "index_ms", "slope", "quantum_end_ms"}) // Error tells
	}
	ms := func(d time.Duration) string { return FormatMS(d.Round(10 * time.Microsecond)) }
	for _, s := range t.Steps() {
		_ = c.Write([]string{function, ms(s.From), ms(s.Index), strconv.FormatFloat(s.Slope, 'f', 3, 64), ms(s.End)})
	}
	if t.Seen() > 0 { // as long again as it has taken
		_ = c.Write([]string{function, ms(t.Seen()), ms(t.Index(t.Seen())), "1.000", ms(t.End(t.Seen()))})
	}
	c.Flush()
	return c.Error()
}

// WriteDecisions writes function,rank,slice_ms,mean_ms,stdev_ms,n: mean and
// standard deviation of the n on-CPU segments that SRPT gave the function.
func WriteDecisions(w io.Writer, decisions []policy.Decision) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"function", "rank", "slice_ms", "mean_ms", "stdev_ms", "n"}) // Error tells
	for _, d := range decisions {
		_ = c.Write([]string{
			d.UID, strconv.Itoa(d.Rank), FormatMS(d.Slice), FormatMS(d.MeanSlice), FormatMS(d.StdevSlice), strconv.Itoa(d.N),
		})
	}
	c.Flush()
	return c.Error()
}
