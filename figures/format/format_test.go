// SPDX-License-Identifier: Apache-2.0

package format

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumbers(t *testing.T) {
	for want, got := range map[string]string{
		"8,376":      Short(8376.2),
		"3.5":        Short(3.46),
		"3":          Short(3),
		"0.0":        Short(-0.04),
		"−1,234,567": Short(-1234567),
		"999":        Grouped(999, 0),
		"12,000.5":   Grouped(12000.5, 1),
		"−0.5":       Grouped(-0.5, 1),
		"-0.5":       Fixed(-0.5, 1),
		"0.00":       Fixed(-0.001, 2),
		"−28.0 %":    Change(0.72),
		"+5.0 %":     Change(1.05),
		"0.0 %":      Change(0.9999999),
		"× 17.5":     Change(17.5),
		"1 round":    Plural(1, "round"),
		"2 rounds":   Plural(2, "round"),
		"1–3":        Span([]float64{3, 1}, 0),
		"7":          Span([]float64{7, 7}, 0),
	} {
		require.Equal(t, want, got)
	}
	for want, got := range map[string]string{
		"−28.0 %":                          SignedChange(0.72),
		"−0.01 %":                          SignedChange(0.9999),
		"+0.001 %":                         SignedChange(1.00001),
		"−27.9 %":                          SignedChange(0.721, 0.721),
		"−27.87 %":                         SignedChange(0.72130, 0.721),
		"× 10.03":                          SignedChange(10.03, 10),
		"0.0 %":                            SignedChange(1),
		" (−3.6 to −0.01 %)":               Interval(0.9641, 0.9999, 3),
		" (−3.6 to +0.001 %)":              Interval(0.9641, 1.00001, 3),
		" (−3.6 to 0.0 %, within one run)": Interval(0.9641, 1, 1),
		" (−20.1 % to × 4.2)":              Interval(0.799, 4.2, 2),
		" (14 % to 25 %, within one run)":  Brackets("14 %", "25 %", 1),
		"":                                 Interval(math.NaN(), math.NaN(), 1),
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, []int{1, 1, 1, 4, 0, 2, 2, 0}, []int{Decimals(0, 1, 0), Decimals(7, 1, 0), Decimals(math.NaN(), 1, 0), Decimals(-0.0004, 1, 0),
		Decimals(59.4, 0, 60), Decimals(59.96, 0, 60), Decimals(60.04, 0, 60), Decimals(60, 0, 60)})
	for _, none := range []string{Fixed(math.NaN(), 1), Short(math.NaN()), Grouped(math.Inf(1), 0), Change(math.NaN()), Percent(math.NaN()),
		Change(math.Inf(1)), Change(math.Inf(-1)), Percent(math.Inf(1)), Percent(math.Inf(-1))} {
		require.Empty(t, none)
	}
}
