// SPDX-License-Identifier: Apache-2.0

// Package records reads invocations as people write them, a CSV of
//
//	id,function,arrive_ms,burst_ms
//
// and writes what the policy makes of them. Milliseconds are decimal with up
// to six digits behind the point, so every nanosecond can be written and none
// is rounded.
package records

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ds2-lab/alps/internal/clock"
)

// Row is one invocation.
type Row struct {
	ID       int64
	Function string
	Arrive   clock.KTime
	Burst    time.Duration // CPU time, ≥ 0
}

// Largest values a row may have.
const (
	MaxArrive = 1_000_000_000_000 * time.Millisecond // 31 years
	MaxBurst  = time.Hour
)

// maxErrors is how many errors are named; a bad row may have several.
const maxErrors = 10

var header = []string{"id", "function", "arrive_ms", "burst_ms"}

// Read reads rows. The header line may be missing. Blank lines and blanks
// after a comma are skipped. Bad rows are errors `name:line:col: …`, columns
// counted in bytes from 1; the first ten errors are named, joined, and no rows returned.
func Read(name string, r io.Reader) ([]Row, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1 // counted here, for the message
	c.ReuseRecord = true
	c.TrimLeadingSpace = true
	p := parser{name: name, csv: c, names: map[string]string{}, ids: map[int64]int{}}
	for first := true; ; first = false {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			if first {
				return nil, fmt.Errorf("%s:1:1: no rows; want a line of %s for each invocation", name, strings.Join(header, ","))
			}
			break
		}
		if bad := new(csv.ParseError); errors.As(err, &bad) {
			p.errs = append(p.errs, fmt.Errorf("%s:%d:%d: %w", name, bad.Line, bad.Column, bad.Err))
			break // what follows an open quote is no row
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if first && isHeader(fields) {
			continue
		}
		if p.row(fields); len(p.errs) > maxErrors {
			break
		}
	}
	if len(p.errs) > maxErrors {
		p.errs = append(p.errs[:maxErrors], fmt.Errorf("%s: more errors follow", name))
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.rows, nil
}

func isHeader(fields []string) bool {
	if len(fields) != len(header) {
		return false
	}
	for i, f := range fields {
		if f != header[i] {
			return false
		}
	}
	return true
}

type parser struct {
	name  string
	csv   *csv.Reader
	names map[string]string // functions, so that each is one string
	ids   map[int64]int     // line of each
	rows  []Row
	errs  []error
}

func (p *parser) fail(field int, format string, args ...any) {
	line, col := p.csv.FieldPos(field)
	what := ""
	if field < len(header) {
		what = header[field] + ": "
	}
	p.errs = append(p.errs, fmt.Errorf("%s:%d:%d: %s%s", p.name, line, col, what, fmt.Sprintf(format, args...)))
}

func (p *parser) row(fields []string) {
	if n := len(fields); n < len(header) {
		line, col := p.csv.FieldPos(n - 1)
		p.errs = append(p.errs, fmt.Errorf("%s:%d:%d: %d of %d fields; %s is missing", p.name, line, col, n, len(header), header[n]))
		return
	} else if n > len(header) {
		p.fail(len(header), "%d fields instead of %s", n, strings.Join(header, ","))
		return
	}
	before := len(p.errs)
	var row Row
	id, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		p.fail(0, "%q is not a whole number within 64 bits", fields[0])
	} else if line, twice := p.ids[id]; twice {
		p.fail(0, "%d is also on line %d", id, line)
	}
	row.ID = id
	if why := badName(fields[1]); why != "" {
		p.fail(1, "%q %s", fields[1], why)
	}
	arrive, err := ParseMS(fields[2], MaxArrive)
	if err != nil {
		p.fail(2, "%v", err)
	}
	if row.Burst, err = ParseMS(fields[3], MaxBurst); err != nil {
		p.fail(3, "%v", err)
	}
	if len(p.errs) > before {
		return
	}
	row.Arrive = clock.KTime(arrive)
	p.ids[id], _ = p.csv.FieldPos(0)
	name, ok := p.names[fields[1]]
	if !ok {
		name = strings.Clone(fields[1])
		p.names[name] = name
	}
	row.Function = name
	p.rows = append(p.rows, row)
}

func badName(s string) string {
	switch {
	case s == "":
		return "names no function"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has a control character"
	}
	return ""
}

// ParseMS reads decimal milliseconds exactly: digits, and behind a point up to
// six that count.
func ParseMS(s string, most time.Duration) (time.Duration, error) {
	whole, frac, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(frac) {
		return 0, fmt.Errorf("%q is not a number of milliseconds such as 12 or 12.345678", s)
	}
	frac = strings.TrimRight(frac, "0")
	if len(frac) > 6 {
		return 0, fmt.Errorf("%q is finer than a nanosecond", s)
	}
	outside := fmt.Errorf("%s is outside [0, %s]", s, FormatMS(most))
	ms, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || ms > uint64(most/time.Millisecond) {
		return 0, outside
	}
	ns, _ := strconv.Atoi("0" + frac + strings.Repeat("0", 6-len(frac)))
	d := time.Duration(ms)*time.Millisecond + time.Duration(ns)
	if d > most {
		return 0, outside
	}
	return d, nil
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// FormatMS writes d, not negative, in milliseconds, every digit and no more.
func FormatMS(d time.Duration) string {
	ms, ns := d/time.Millisecond, d%time.Millisecond
	if ns == 0 {
		return strconv.FormatInt(int64(ms), 10)
	}
	return fmt.Sprintf("%d.%s", ms, strings.TrimRight(fmt.Sprintf("%06d", ns), "0"))
}
