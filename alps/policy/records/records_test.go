// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	want := []Row{
		{7, "fib", 0, 12*time.Millisecond + 345678},
		{-1, "a, b", 3 * 1e6, 0},
	}
	for _, text := range []string{
		"id,function,arrive_ms,burst_ms\n7,fib,0,12.345678\n-1,\"a, b\",3.0000000,0\n",
		"7,fib,0,12.345678\n\n-1, \"a, b\", 3, 0",
		"id,function,arrive_ms,burst_ms\r\n7,fib,00,12.34567800\r\n-1,\"a, b\",3,0\r\n",
	} {
		rows, err := Read("stdin", strings.NewReader(text))
		require.NoError(t, err, text)
		require.Equal(t, want, rows, text)
	}
	rows, err := Read("stdin", strings.NewReader("id,function,arrive_ms,burst_ms\n"))
	require.NoError(t, err)
	require.Empty(t, rows)
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "stdin:1:1: no rows; want a line of id,function,arrive_ms,burst_ms for each invocation"},
		{"id,function,arrive,burst_ms\n", "stdin:1:1: id: \"id\" is not a whole number within 64 bits\n" +
			"stdin:1:13: arrive_ms: \"arrive\" is not a number of milliseconds such as 12 or 12.345678\n" +
			"stdin:1:20: burst_ms: \"burst_ms\" is not a number of milliseconds such as 12 or 12.345678"},
		{"1,fib,0,5\n2,fib,3\n", "stdin:2:7: 3 of 4 fields; burst_ms is missing"},
		{"1,fib,0,5,6\n", "stdin:1:11: 5 fields instead of id,function,arrive_ms,burst_ms"},
		{"1,fib,0,5\n1.5,fib,0,5\n", `stdin:2:1: id: "1.5" is not a whole number within 64 bits`},
		{"1,fib,0,5\n\n1,fib,0,5\n", "stdin:3:1: id: 1 is also on line 1"},
		{"1,,0,5\n", `stdin:1:3: function: "" names no function`},
		{"1,\"a\nb\",0,5\n", `stdin:1:3: function: "a\nb" has a control character`},
		{"1,\xff,0,5\n", `stdin:1:3: function: "\xff" is not UTF-8`},
		{"1,fib,-3,5\n", `stdin:1:7: arrive_ms: "-3" is not a number of milliseconds such as 12 or 12.345678`},
		{"1,fib,1e3,5\n", `stdin:1:7: arrive_ms: "1e3" is not a number of milliseconds such as 12 or 12.345678`},
		{"1,fib,NaN,5\n", `stdin:1:7: arrive_ms: "NaN" is not a number of milliseconds such as 12 or 12.345678`},
		{"1,fib,1000000000000.000001,5\n", "stdin:1:7: arrive_ms: 1000000000000.000001 is outside [0, 1000000000000]"},
		{"1,fib,0,0.0000001\n", `stdin:1:9: burst_ms: "0.0000001" is finer than a nanosecond`},
		{"1,fib,0,99999999999999999999\n", "stdin:1:9: burst_ms: 99999999999999999999 is outside [0, 3600000]"},
		{"1,\"fib,0,5\n", `stdin:1:12: extraneous or missing " in quoted-field`},
		{"1,fi\"b,0,5\n", `stdin:1:5: bare " in non-quoted-field`},
		{strings.Repeat("x,f,0,1\n", 11), strings.Join([]string{
			`stdin:1:1: id: "x"`, "stdin:2:1:", "stdin:10:1:", "stdin: more errors follow"}, "…")},
		{strings.Repeat("x,f,y,z\n", 5), strings.Join([]string{ // the tenth is the first of its row
			`stdin:1:1: id: "x"`, "stdin:3:7: burst_ms", "stdin:4:1: id", "stdin: more errors follow"}, "…")},
		{strings.Repeat("x,f,0,1\n", 10) + "11,\"f,0,1\n", strings.Join([]string{"stdin:1:1: id", "stdin:10:1: id", "stdin: more errors follow"}, "…")},
	} {
		rows, err := Read("stdin", strings.NewReader(c.text))
		require.Error(t, err, c.text)
		require.Nil(t, rows)
		if parts := strings.Split(c.want, "…"); len(parts) > 1 {
			for _, p := range parts {
				require.ErrorContains(t, err, p)
			}
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, 11, "ten errors, and that there are more")
			require.Equal(t, parts[len(parts)-1], lines[10])
			continue
		}
		require.EqualError(t, err, c.want)
	}
	broken := errors.New("broken pipe")
	_, err := Read("stdin", iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "read stdin: broken pipe")
}

func TestMilliseconds(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0: "0", 1: "0.000001", 1000: "0.001", 1_500_000: "1.5", 12 * time.Hour: "43200000", math.MaxInt64: "9223372036854.775807",
	} {
		require.Equal(t, text, FormatMS(d))
		back, err := ParseMS(text, math.MaxInt64)
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
}

// FuzzRead: what is accepted can be scheduled and is served exactly, whatever
// it says; what is refused is refused with its line and column.
func FuzzRead(f *testing.F) {
	f.Add([]byte("id,function,arrive_ms,burst_ms\n7,fib,0,12.345678\n8,\"a, b\",3,0\n"))
	f.Add([]byte("1,f,0,5\n2,g,1,1\n3,f,1,1\n"))
	f.Add([]byte("1,f,1000000000000,3600000\n2,g,0,0.000001\r\n"))
	f.Add([]byte("1,\"f,0,5\n"))
	f.Add([]byte("1,f,0\n,,,\n-9223372036854775808,é,0,0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := Read("stdin", bytes.NewReader(data))
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				require.Regexp(t, `^stdin:(\d+:\d+:)? `, line)
			}
			return
		}
		if len(rows) > 200 {
			return
		}
		for _, m := range []policy.Machine{{}, {Cores: 3, Granularity: 8 * time.Millisecond}} {
			outcomes, err := policy.SRPT(Jobs(rows), m)
			require.NoError(t, err)
			for i, o := range outcomes {
				served := time.Duration(0)
				for _, s := range o.Slices {
					served += s
				}
				require.Equal(t, rows[i].Burst, served)
				require.GreaterOrEqual(t, o.Wait, time.Duration(0))
			}
		}
		for _, params := range []policy.Params{policy.Paper(), policy.Artifact()} {
			p, err := policy.New(params)
			require.NoError(t, err)
			ds := p.Update(Window(rows), 85, 2)
			for i, d := range ds {
				require.GreaterOrEqual(t, d.Rank, 1)
				require.GreaterOrEqual(t, d.Slice, time.Duration(0))
				require.True(t, i == 0 || d.Rank == ds[i-1].Rank || d.Rank == ds[i-1].Rank+1)
			}
		}
		// Written and read again, a row is what it was.
		var text bytes.Buffer
		require.NoError(t, WriteOutcomes(&text, rows, make([]policy.Outcome, len(rows))))
		var again strings.Builder
		for i, line := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
			if i == 0 {
				again.WriteString("id,function,arrive_ms,burst_ms\n")
				continue
			}
			again.WriteString(strings.TrimSuffix(line, "0,") + FormatMS(time.Duration(rows[i-1].Arrive)) + "," + FormatMS(rows[i-1].Burst) + "\n")
		}
		back, err := Read("again", strings.NewReader(again.String()))
		require.NoError(t, err)
		require.Equal(t, rows, back)
	})
}
