// SPDX-License-Identifier: Apache-2.0

// Package measured carries numbers from guest tests to the pages that cite them. A test
// prints each such number with Print; the target test:guest, with -record, puts what it
// finds in the output into docs/measured.tsv (Record); and tests of the pages make
// sentences of that file.
package measured

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Row is a line of the record: a number, and where it comes from.
type Row struct {
	Name     string  // of what was measured
	Value    float64 // in Unit, to six digits
	Unit     string
	Kernel   string // in kernels.yaml
	Release  string // of that kernel, as uname -r says it
	CPUs     int    // of the guest
	Revision string // of the code, with + if the tree was changed
	Date     string // of the run, as 2026-11-30
	Test     string // that measured it, without subtests
}

// key is what there is one row of.
func (r Row) key() string { return fmt.Sprintf("%s, kernel %s, %d CPUs", r.Name, r.Kernel, r.CPUs) }

const (
	mark   = "MEASURED\t" // before the fields of a line of Print
	digits = 6            // that are kept of a value
)

// fields are what Print accepts as a name and as a unit.
var fields = regexp.MustCompile(`^[a-z0-9][a-z0-9/.-]*$`)

// text writes a value with as many digits as are kept, without an exponent.
func text(value float64) string {
	short, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', digits, 64), 64)
	if err != nil {
		panic(err) // it is what FormatFloat wrote
	}
	return strconv.FormatFloat(short, 'f', -1, 64)
}

// Print says what a test measured in the guest in which it runs. A name has one value in a
// run, with as many CPUs; name and unit are lower-case words. The test fails for others,
// and for a value that is no finite number.
func Print(t testing.TB, name string, value float64, unit string) {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatalf("measured: uname: %v", err)
	}
	PrintOf(t, unix.ByteSliceToString(u.Release[:]), runtime.NumCPU(), name, value, unit)
}

// PrintOf is Print for a test on the host: it measured a guest whose kernel has that
// release, with so many CPUs.
func PrintOf(t testing.TB, release string, cpus int, name string, value float64, unit string) {
	t.Helper()
	if !fields.MatchString(name) || !fields.MatchString(unit) || math.IsNaN(value) || math.IsInf(value, 0) {
		t.Fatalf("measured: %q %v %q: want a name, a finite number and a unit (%s)", name, value, unit, fields)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	t.Log(mark + strings.Join([]string{name, text(value), unit, release, strconv.Itoa(cpus), test}, "\t"))
}

// Find returns what Print printed into the output of a run, without kernel, revision and
// date. Anything may stand before it on its line. The error names a line that is torn, and
// a name that was printed twice for as many CPUs.
func Find(output []byte) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	for line := range bytes.Lines(output) {
		_, found, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), mark)
		if !ok {
			continue
		}
		r, err := find(found)
		if err != nil {
			return nil, fmt.Errorf("what a test measured does not come whole, or has more behind it (%w): %q", err, found)
		}
		if seen[r.key()] {
			return nil, fmt.Errorf("%s, %d CPUs was printed twice in one run: give each number a name of its own", r.Name, r.CPUs)
		}
		seen[r.key()] = true
		rows = append(rows, r)
	}
	return rows, nil
}

func find(line string) (r Row, err error) {
	f := strings.Split(line, "\t")
	if len(f) != 6 {
		return r, fmt.Errorf("%d fields, not 6", len(f))
	}
	r = Row{Name: f[0], Unit: f[2], Release: f[3], Test: f[5]}
	if r.Value, err = strconv.ParseFloat(f[1], 64); err == nil {
		r.CPUs, err = strconv.Atoi(f[4])
	}
	if err == nil && !testName.MatchString(r.Test) {
		err = fmt.Errorf("%q is no test", r.Test)
	}
	return r, err
}

// testName is what Go takes for a test's name.
var testName = regexp.MustCompile(`^Test[A-Za-z0-9_]*$`)
