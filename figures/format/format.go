// SPDX-License-Identifier: Apache-2.0

// Package format writes numbers for people, one way everywhere.
package format

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Fixed prints a number with fixed precision for a table of data, and nothing for NaN and infinities.
// A number that rounds to zero has no sign.
func Fixed(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	text := fmt.Sprintf("%.*f", digits, v)
	if strings.Trim(text, "-0.") == "" {
		return strings.TrimPrefix(text, "-")
	}
	return text
}

// Short is a number for people, with as many digits as help: 3.5, 42, 8,376.
func Short(v float64) string {
	if math.Abs(v) < 10 && v != math.Trunc(v) {
		return Grouped(v, 1)
	}
	return Grouped(v, 0)
}

// Grouped is a number for people with fixed precision, commas between its thousands, and the
// minus sign U+2212: −8,376.5.
func Grouped(v float64, digits int) string {
	text := Fixed(v, digits)
	sign := ""
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "−", rest
	}
	whole, rest, dot := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dot {
		whole += "." + rest
	}
	return sign + whole
}

// Percent prints v, which is in %, with one decimal, and nothing for NaN and infinities.
func Percent(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return Fixed(v, 1) + " %"
}

// Decimals is how many decimals v needs to print on the side of each limit on which it is, such as above 0: at least
// least, and at most 15. A limit that v is within a billionth of counts as v itself.
func Decimals(v float64, least int, limits ...float64) int {
	side := func(v, limit float64) int {
		if math.Abs(v-limit) <= 1e-9*max(math.Abs(limit), 1e-3) {
			return 0
		}
		return cmp.Compare(v, limit)
	}
	digits := least
	for ; digits < 15 && !math.IsNaN(v) && !math.IsInf(v, 0); digits++ {
		printed, err := strconv.ParseFloat(Fixed(v, digits), 64)
		if err != nil || !slices.ContainsFunc(limits, func(limit float64) bool { return side(printed, limit) != side(v, limit) }) {
			break
		}
	}
	return digits
}

// Change is a ratio as people say it: −28.0 % of 0.72, and from 3 on × 3.4. Of NaN and infinities it is nothing.
func Change(ratio float64) string {
	return change(ratio, 1)
}

// SignedChange is Change with as many decimals as it needs to say whether the ratio is above or below 1 and each of
// the limits, for a verdict hangs on that: −0.004 % of 0.99996.
func SignedChange(ratio float64, limits ...float64) string {
	if ratio >= 3 {
		return change(ratio, Decimals(ratio, 1, limits...))
	}
	inPercent := []float64{0}
	for _, l := range limits {
		inPercent = append(inPercent, 100*(l-1))
	}
	return change(ratio, Decimals(100*(ratio-1), 1, inPercent...))
}

// change is Change with so many decimals.
func change(ratio float64, digits int) string {
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return ""
	}
	if ratio >= 3 {
		return "× " + Grouped(ratio, digits)
	}
	text := Grouped(100*(ratio-1), digits)
	if ratio > 1 && strings.Trim(text, "0.") != "" {
		text = "+" + text
	}
	return text + " %"
}

// Interval is an interval of ratios in brackets, each end as SignedChange has it, and nothing of one that is NaN:
// (−3.6 to +0.2 %). Of one round it says so, for then nothing is known of how far rounds differ.
func Interval(lo, hi float64, rounds int) string {
	if math.IsNaN(lo) || math.IsNaN(hi) {
		return ""
	}
	from, to := SignedChange(lo), SignedChange(hi)
	if unit := " %"; strings.HasSuffix(from, unit) && strings.HasSuffix(to, unit) {
		from = strings.TrimSuffix(from, unit)
	}
	return Brackets(from, to, rounds)
}

// Brackets is an interval between two ends that are printed. Of one round it says that it is within one run.
func Brackets(lo, hi string, rounds int) string {
	text := " (" + lo + " to " + hi
	if rounds == 1 {
		text += ", within one run"
	}
	return text + ")"
}

// Span is the range of values, of which there must be one, such as 1–3; one number where both ends print alike.
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
	return Grouped(float64(n), 0) + " " + thing + "s"
}

// Digest is as much of a digest as is shown: its first 12 digits.
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
