// SPDX-License-Identifier: Apache-2.0

// Package format writes numbers for people, one way everywhere.
package format

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Fixed prints a number with fixed precision, and nothing for none.
func Fixed(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// Short is a number with as many digits as help.
func Short(v float64) string {
	if math.Abs(v) < 10 && v != math.Trunc(v) {
		return Fixed(v, 1)
	}
	return Fixed(v, 0)
}

// Percent is a number of percents, and nothing for none.
func Percent(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return Fixed(v, 1) + " %"
}

// Change is a ratio as people say it: −28.0 %, or × 3.4.
func Change(ratio float64) string {
	if ratio >= 3 {
		return "× " + Fixed(ratio, 1)
	}
	return strings.Replace(fmt.Sprintf("%+.1f %%", 100*(ratio-1)), "-", "−", 1)
}

// Span is the range of values, or the one that all are.
func Span(values []float64, digits int) string {
	lo, hi := Fixed(slices.Min(values), digits), Fixed(slices.Max(values), digits)
	if lo == hi {
		return lo
	}
	return lo + "–" + hi
}

// Plural is a number of things.
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Digest is as much of a digest as is shown.
func Digest(digest string) string { return digest[:min(len(digest), 12)] }

// Markdown is a table.
func Markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}
