// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Row is one row of a CSV file. Err is the first complaint about its fields.
type Row struct {
	Err error

	header []string
	fields []string
	names  map[string]string // so that equal texts are one string
}

// Num is the i-th field as a number.
func (r *Row) Num(i int) int64 {
	n, err := strconv.ParseInt(r.fields[i], 10, 64)
	if err != nil && r.Err == nil {
		r.Err = fmt.Errorf("%s: %q is not a number", r.header[i], r.fields[i])
	}
	return n
}

// Count is the i-th field as a number that is not negative.
func (r *Row) Count(i int) int64 {
	n := r.Num(i)
	if n < 0 && r.Err == nil {
		r.Err = fmt.Errorf("%s: %d: allowed: 0 or more", r.header[i], n)
	}
	return n
}

// Text is the i-th field.
func (r *Row) Text(i int) string {
	s, ok := r.names[r.fields[i]]
	if !ok {
		s = strings.Clone(r.fields[i])
		r.names[s] = s
	}
	return s
}

// ReadRows reads CSV under a header, and calls row for every row; the Row is
// valid until row returns. Errors begin with name:line.
func ReadRows(name string, in io.Reader, header string, row func(*Row) error) error {
	r := Row{header: strings.Split(header, ","), names: map[string]string{}}
	cr := csv.NewReader(in)
	cr.FieldsPerRecord = len(r.header)
	cr.ReuseRecord = true
	for line := 1; ; line++ {
		fields, err := cr.Read()
		switch {
		case errors.Is(err, io.EOF) && line == 1:
			return fmt.Errorf("%s:1: empty: want the header %s", name, header)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s:%d: %w", name, line, err)
		case line == 1 && strings.Join(fields, ",") != header:
			return fmt.Errorf("%s:1: header %q: want %s", name, strings.Join(fields, ","), header)
		case line == 1:
			continue
		}
		r.fields = fields
		if err := row(&r); err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
}
