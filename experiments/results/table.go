// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
)

// Table is a result without invocations: its columns have names with units.
type Table struct {
	Columns []string
	Rows    [][]string
}

func (t *Table) write(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write(t.Columns) // c.Error keeps the first error
	_ = c.WriteAll(t.Rows)
	if err := c.Error(); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

func (t *Table) read(name string, r io.Reader) error {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err) // err names the line
	}
	if len(rows) == 0 {
		return fmt.Errorf("%s:1: empty: want a line of column names", name)
	}
	for i, r := range rows {
		if slices.Contains(r, "") {
			return fmt.Errorf("%s:%d: a cell is empty", name, i+1)
		}
	}
	t.Columns, t.Rows = rows[0], rows[1:]
	return nil
}
