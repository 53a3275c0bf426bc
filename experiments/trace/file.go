// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Entry is a row of the artifact's own trace files.
type Entry struct {
	N        int // the function's argument
	Function string
	Gap      float64 // time to the row before, in arbitrary units
	Port     string
	Line     int // in the file, from 1
}

// ReadArtifact parses the artifact's form, "id n function gap port" per line, ids
// counting from 1. Errors begin with name:line, or with name if there are no rows.
func ReadArtifact(name string, r io.Reader) ([]Entry, error) {
	var out []Entry
	err := lines(name, r, func(line int, text string) error {
		f := strings.Fields(text)
		if len(f) == 0 {
			return nil
		}
		if len(f) != 5 {
			return fmt.Errorf("%d fields: want id n function gap port", len(f))
		}
		if id, err := strconv.Atoi(f[0]); err != nil || id != len(out)+1 {
			return fmt.Errorf("id: %q: want %d, for ids count the rows", f[0], len(out)+1)
		}
		n, err := strconv.Atoi(f[1])
		if err != nil {
			return fmt.Errorf("n: %q is not a number", f[1])
		}
		gap, err := parseGap(f[3])
		if err != nil {
			return err
		}
		out = append(out, Entry{N: n, Function: f[2], Gap: gap, Port: f[4], Line: line})
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: no rows", name)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// header of the compact form.
const header = "class,gap"

// Read parses the compact form: comment lines that begin with "#", the header
// class,gap, and a row per invocation. A class is 0 to classes-1. Errors begin with
// name:line, or with name if there are no rows.
func Read(name string, r io.Reader, classes int) ([]Row, error) {
	var rows []Row
	begun := false
	err := lines(name, r, func(_ int, text string) error {
		switch {
		case strings.HasPrefix(text, "#"):
			return nil
		case !begun && text != header:
			return fmt.Errorf("%q: want the header %s", text, header)
		case !begun:
			begun = true
			return nil
		}
		class, gap, ok := strings.Cut(text, ",")
		if !ok {
			return fmt.Errorf("%q: want %s", text, header)
		}
		c, err := strconv.Atoi(class)
		if err != nil || c < 0 || c >= classes {
			return fmt.Errorf("class: %q: allowed: 0 to %d", class, classes-1)
		}
		row := Row{Class: c}
		row.Gap, err = parseGap(gap)
		rows = append(rows, row)
		return err
	})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s: no rows", name)
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// maxGap is the largest gap: the sum of many of these is still exact enough.
const maxGap = 1e9

func parseGap(s string) (float64, error) {
	gap, err := strconv.ParseFloat(s, 64)
	if err != nil || !(gap >= 0 && gap <= maxGap) {
		return 0, fmt.Errorf("gap: %q is outside [0, %g]", s, maxGap)
	}
	return gap, nil
}

// lines calls each with every line, counted from 1. Errors, of each too, begin with
// name:line.
func lines(name string, r io.Reader, each func(line int, text string) error) error {
	sc := bufio.NewScanner(r)
	line := 1
	for ; sc.Scan(); line++ {
		if err := each(line, sc.Text()); err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, line, err)
	}
	return nil
}
