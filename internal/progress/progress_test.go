// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is moved by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func reporter(tty bool) (*Reporter, *bytes.Buffer, *clock) {
	var b bytes.Buffer
	c := &clock{time.Unix(1000, 0)}
	r := New(&b)
	r.tty, r.width, r.now = tty, 40, c.now
	return r, &b, c
}

func TestLogGetsOneLinePerTransition(t *testing.T) {
	r, b, c := reporter(false)
	s := r.Step("replay", 2, 3)
	s.Frac(0.5)
	c.t = c.t.Add(41 * time.Second)
	s.Done("")
	r.Step("draw", 3, 3).Done("kept")
	require.Equal(t, "2/3 replay\n2/3 replay  41s\n3/3 draw\n3/3 draw  kept\n", b.String())
}

func TestLogGetsASignOfLifeEveryHalfMinute(t *testing.T) {
	r, b, c := reporter(false)
	s := r.Step("replay", 0, 0)
	for i := range 100 { // 100 s
		c.t = c.t.Add(time.Second)
		s.Frac(float64(i+1) / 400)
	}
	require.Equal(t, "replay\nreplay  7%  6m10s left\nreplay  15%  5m40s left\nreplay  22%  5m10s left\n", b.String())
}

func TestTerminalRedrawsOneLineAndCutsIt(t *testing.T) {
	r, b, c := reporter(true)
	s := r.Step("a step with a name that is rather long", 1, 1)
	require.Equal(t, "\r\x1b[K1/1 a step with a name that is rather l", b.String())
	b.Reset()
	c.t = c.t.Add(10 * time.Second)
	r.Printf("hello")
	require.Equal(t, "\r\x1b[Khello\n", b.String())
	b.Reset()
	s.Done("ok")
	require.Equal(t, "1/1 a step with a name that is rather long  ok\n", b.String())
}

func TestTerminalShowsStepsSideBySide(t *testing.T) {
	r, b, c := reporter(true)
	r.width = 80
	j := r.Job([]time.Duration{40 * time.Second, 60 * time.Second, 30 * time.Second}, 2)
	one, two := j.Step(0, "cfs"), j.Step(1, "alps")
	c.t = c.t.Add(10 * time.Second)
	b.Reset()
	one.Frac(0.5)
	require.Equal(t, "\r\x1b[K1m05s left: 1/3 cfs 50% | 2/3 alps 0%", b.String())
	b.Reset()
	one.Done("ok")
	c.t = c.t.Add(10 * time.Second)
	two.Frac(0.4)
	require.Equal(t, "\r\x1b[K1/3 cfs  ok\n\r\x1b[K2/3 alps  40%  45s left", b.String())
	// A step that says nothing for a while is left out.
	b.Reset()
	c.t = c.t.Add(11 * time.Second)
	j.Step(2, "sfs")
	require.Equal(t, "\r\x1b[K3/3 sfs  30s left", b.String())
	b.Reset()
	c.t = c.t.Add(time.Second)
	two.Frac(0.8)
	require.Equal(t, "\r\x1b[K29s left: 2/3 alps 80% | 3/3 sfs 0%", b.String())
}

func TestAJobsTimeLeftIsThatOfAllItsSteps(t *testing.T) {
	r, b, c := reporter(false)
	j := r.Job([]time.Duration{40 * time.Second, 0, 100 * time.Second}, 1)
	s := j.Step(0, "replay")
	c.t = c.t.Add(30 * time.Second)
	s.Detail("still building")
	require.Equal(t, "1/3 replay\n1/3 replay  still building  1m50s left\n", b.String(), "10 s of 40 and the 100 of the last")
	b.Reset()
	c.t = c.t.Add(30 * time.Second)
	s.Frac(0.5) // slower than it was expected: 60 s more
	require.Equal(t, "1/3 replay  still building  50%  2m40s left\n", b.String())
	b.Reset()
	j.Step(2, "last")
	require.Equal(t, "3/3 last\n", b.String())
}

func TestToolsGetAnEventPerLine(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1000, 0).UTC()}
	r := NewJSON(&b)
	r.now = c.now
	s := r.Job([]time.Duration{20 * time.Second, 10 * time.Second}, 2).Step(0, "replay")
	c.t = c.t.Add(10 * time.Second)
	s.Frac(0.25)
	s.Frac(0.26) // too soon after the one before
	r.Printf("a warning")
	s.Done("load 0.90")
	var got []Event
	for line := range strings.Lines(b.String()) {
		var e Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		got = append(got, e)
	}
	begun, later := time.Unix(1000, 0).UTC(), time.Unix(1010, 0).UTC()
	require.Equal(t, []Event{
		{Time: begun, Kind: Begin, Step: "replay", Index: 1, Of: 2, Left: 25 * time.Second},
		{Time: later, Kind: Going, Step: "replay", Index: 1, Of: 2, Frac: 0.25, Left: 35 * time.Second},
		{Time: later, Kind: Message, Text: "a warning"},
		{Time: later, Kind: End, Step: "replay", Index: 1, Of: 2, Frac: 0.26, Took: 10 * time.Second, Text: "load 0.90"},
	}, got)
}

func TestNilReporterIsSilent(t *testing.T) {
	var r *Reporter
	s := r.Step("x", 1, 2)
	s.Detail("d")
	s.Frac(1)
	s.Done("")
}

func TestRound(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0.1s": 123 * time.Millisecond, "41s": 41300 * time.Millisecond,
		"6m10s": 370 * time.Second, "2h05m": 125 * time.Minute,
	} {
		require.Equal(t, want, Round(d))
	}
}
