// SPDX-License-Identifier: Apache-2.0

package results

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// slicesHeader is slices.csv's first line. Rows are sorted, and there is one
// for each length that a group's on-CPU segments had.
const slicesHeader = "group,length_us,count"

// Slices are on-CPU segments of one length, to the microsecond.
type Slices struct {
	Group  string
	Length time.Duration
	Count  int64
}

func byLength(a, b Slices) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Length, b.Length))
}

// Segments counts on-CPU segments. The zero Segments is ready.
type Segments struct {
	counts map[Slices]int64 // Count is 0 in the key
}

// Add counts one segment, rounded to a microsecond.
func (t *Segments) Add(group string, length time.Duration) {
	if t.counts == nil {
		t.counts = map[Slices]int64{}
	}
	t.counts[Slices{Group: group, Length: length.Round(time.Microsecond)}]++
}

// Slices are the segments counted, sorted.
func (t *Segments) Slices() []Slices {
	out := make([]Slices, 0, len(t.counts))
	for s, n := range t.counts {
		s.Count = n
		out = append(out, s)
	}
	slices.SortFunc(out, byLength)
	return out
}

func writeSlices(w io.Writer, rows []Slices) error {
	c := csv.NewWriter(w)
	_ = c.Write(strings.Split(slicesHeader, ","))
	for _, s := range rows {
		_ = c.Write([]string{s.Group, fmt.Sprint(s.Length.Microseconds()), fmt.Sprint(s.Count)}) // c.Error keeps the first error
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

func readSlices(name string, r io.Reader) ([]Slices, error) {
	out := []Slices{}
	err := ReadRows(name, r, slicesHeader, func(f *Row) error {
		us := f.Num(1)
		s := Slices{Group: f.Text(0), Length: time.Duration(us) * time.Microsecond, Count: f.Num(2)}
		switch {
		case f.Err != nil:
			return f.Err
		case us < 0 || us > int64(maxLength/time.Microsecond):
			return fmt.Errorf("length_us: %d: allowed: 0 to %d", us, maxLength.Microseconds())
		case s.Count < 1:
			return fmt.Errorf("count: %d: at least 1 is needed", s.Count)
		case len(out) > 0 && byLength(out[len(out)-1], s) >= 0:
			return errors.New("rows are not sorted by group and length, or one is there twice")
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// maxLength is the longest segment that is believed.
const maxLength = 24 * time.Hour
