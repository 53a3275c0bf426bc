// SPDX-License-Identifier: Apache-2.0

package measured

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

// Path is the record's, below the root of the tree.
const Path = "docs/measured.tsv"

// header is the record's first line.
var header = strings.Join([]string{"name", "value", "unit", "kernel", "release", "cpus", "revision", "date", "test"}, "\t")

// Record is the numbers that pages cite, sorted by name, kernel and CPUs.
type Record []Row

// Read reads a record. The error names the file, and the line that is none, that has
// the key (name, kernel, CPUs) of another, or that is not in its order.
func Read(path string) (Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("measured numbers: %w", err)
	}
	var r Record
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line, whole := strings.CutSuffix(line, "\n")
		if number == 1 {
			if line != header {
				return nil, fmt.Errorf("%s:1: want the header %q", path, header)
			}
			continue
		}
		row, err := parse(line)
		switch {
		case err != nil:
		case !whole:
			err = fmt.Errorf("no end of the line")
		case len(r) > 0 && row.key() == r[len(r)-1].key():
			err = fmt.Errorf("%s is there twice", row.key())
		case len(r) > 0 && compare(r[len(r)-1], row) > 0:
			err = fmt.Errorf("%s comes before the line above", row.key())
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		r = append(r, row)
	}
	if number == 0 {
		return nil, fmt.Errorf("%s:1: want the header %q", path, header)
	}
	return r, nil
}

func parse(line string) (Row, error) {
	f := strings.Split(line, "\t")
	if want := strings.Count(header, "\t") + 1; len(f) != want {
		return Row{}, fmt.Errorf("%d fields, not %d", len(f), want)
	}
	if slices.Contains(f, "") {
		return Row{}, fmt.Errorf("a field is empty")
	}
	value, err := strconv.ParseFloat(f[1], 64)
	if err != nil || text(value) != f[1] {
		return Row{}, fmt.Errorf("value %q: want a number with at most %d digits", f[1], digits)
	}
	cpus, err := strconv.Atoi(f[5])
	if err != nil || cpus < 1 {
		return Row{}, fmt.Errorf("cpus %q: want 1 or more", f[5])
	}
	return Row{Name: f[0], Value: value, Unit: f[2], Kernel: f[3], Release: f[4], CPUs: cpus, Revision: f[6], Date: f[7], Test: f[8]}, nil
}

// compare is the order of the rows.
func compare(a, b Row) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Kernel, b.Kernel), cmp.Compare(a.CPUs, b.CPUs))
}

// Merge puts the rows of a run in the place of those with the same name, kernel and
// CPUs; other rows stay. It says, a line for each row of the run, what was there before.
func (r Record) Merge(run []Row) (merged Record, said []string) {
	merged = slices.Clone(r)
	for _, row := range run {
		i, there := slices.BinarySearchFunc(merged, row, compare)
		line := fmt.Sprintf("%s: %s %s, ", row.key(), text(row.Value), row.Unit)
		if !there {
			merged = slices.Insert(merged, i, row)
			said = append(said, line+"new")
			continue
		}
		said = append(said, line+change(merged[i], row))
		merged[i] = row
	}
	return merged, said
}

// change says how a row differs from the one that it replaces.
func change(old, row Row) string {
	was := text(old.Value)
	switch {
	case old.Unit != row.Unit:
		return fmt.Sprintf("was %s %s", was, old.Unit)
	case was == text(row.Value):
		return "as before"
	case old.Value == 0:
		return "was 0"
	}
	by := fmt.Sprintf("%+.1f %%", 100*(row.Value/old.Value-1))
	if by == "+0.0 %" || by == "-0.0 %" {
		by = "less than .1 % apart"
	}
	return fmt.Sprintf("was %s (%s)", was, by)
}

// Write replaces the file at path.
func (r Record) Write(path string) error {
	var b strings.Builder
	b.WriteString(header + "\n")
	for _, row := range r {
		b.WriteString(strings.Join([]string{row.Name, text(row.Value), row.Unit, row.Kernel, row.Release, strconv.Itoa(row.CPUs), row.Revision, row.Date, row.Test}, "\t") + "\n")
	}
	if err := atomicfile.Write(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("measured numbers: %w", err)
	}
	return nil
}
