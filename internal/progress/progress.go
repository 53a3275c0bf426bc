// SPDX-License-Identifier: Apache-2.0

// Package progress tells a person how far a long job is.
//
// On a terminal there is one line, drawn again in place; elsewhere one line
// per step begun or ended, so that a log stays readable; and for tools, one JSON
// object per event.
package progress

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// redraw is the shortest time between two drawings of the line.
	redraw = 200 * time.Millisecond
	// silence is how long a step that says nothing stays on the line beside others.
	silence = 10 * time.Second
)

// eventGap is the shortest time between two events of a step under way.
const eventGap = time.Second

// Reporter writes steps to one writer. A nil Reporter writes nothing.
type Reporter struct {
	mu      sync.Mutex
	w       io.Writer
	tty     bool
	json    bool
	width   int
	drawn   bool // the terminal's last line is ours to overwrite
	going   []*Step
	lastOut time.Time // when the line was last drawn
	now     func() time.Time
}

// New returns a reporter that redraws if w is a terminal.
func New(w io.Writer) *Reporter {
	r := &Reporter{w: w, width: 100, now: time.Now}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		r.tty = true
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			r.width = width
		}
	}
	return r
}

// Write passes other output through without tearing the redrawn line.
func (r *Reporter) Write(p []byte) (int, error) {
	if r == nil {
		return len(p), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.json {
		r.message(p)
		return len(p), nil
	}
	r.clear()
	return r.w.Write(p)
}

// Printf writes one line of its own.
func (r *Reporter) Printf(format string, args ...any) {
	fmt.Fprintf(r, format+"\n", args...)
}

// Step begins step i, counted from 1, of n. n = 0 leaves the count out.
func (r *Reporter) Step(name string, i, n int) *Step {
	return r.begin(&Step{r: r, name: name, index: i, of: n})
}

func (r *Reporter) begin(s *Step) *Step {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.begun = r.now()
	s.heard = s.begun
	switch {
	case r.json:
		r.emit(s.event(Begin, ""))
	case r.tty:
		r.going = append(r.going, s)
		r.draw()
	default:
		fmt.Fprintln(r.w, s.title())
	}
	return s
}

// Job is a list of steps with the time that each is expected to take, so that
// the time left is that of the whole list.
type Job struct {
	r        *Reporter
	expected []time.Duration
	side     int
}

// Job announces steps by the time that each is expected to take; side of them, at
// least 1, are under way at a time. A step that will be skipped is expected to take 0.
func (r *Reporter) Job(expected []time.Duration, side int) *Job { return &Job{r, expected, side} }

// Step begins the i-th step, counted from 0.
func (j *Job) Step(i int, name string) *Step {
	s := &Step{r: j.r, name: name, index: i + 1, of: len(j.expected), expected: j.expected[i]}
	for _, e := range j.expected[i+1:] {
		s.later += e
	}
	s.later /= time.Duration(j.side)
	return j.r.begin(s)
}

// Step is one step under way. A nil Step does nothing.
type Step struct {
	r         *Reporter
	name      string
	index, of int
	expected  time.Duration // of this step; 0: unknown
	later     time.Duration // of the steps after it, divided by how many are under way at a time
	detail    string
	frac      float64 // 0 to 1
	begun     time.Time
	heard     time.Time // when the step last said something
	lastOut   time.Time // when it last was a line or an event
}

func (s *Step) title() string {
	if s.of == 0 {
		return s.name
	}
	return fmt.Sprintf("%d/%d %s", s.index, s.of, s.name)
}

// Detail says what the step is doing now.
func (s *Step) Detail(format string, args ...any) {
	if s == nil {
		return
	}
	s.update(func() { s.detail = fmt.Sprintf(format, args...) })
}

// Frac says which part of the step is done, 0 to 1; the time left follows
// from the time taken so far.
func (s *Step) Frac(f float64) {
	if s == nil {
		return
	}
	s.update(func() { s.frac = min(max(f, 0), 1) })
}

func (s *Step) update(change func()) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	change()
	now := s.r.now()
	s.heard = now
	switch {
	case s.r.json:
		if now.Sub(s.lastOut) >= eventGap {
			s.lastOut = now
			s.r.emit(s.event(Going, s.detail))
		}
		return
	case s.r.tty:
		if now.Sub(s.r.lastOut) >= redraw {
			s.r.draw()
		}
		return
	}
	// A log gets a sign of life every half minute.
	if now.Sub(s.begun) >= 30*time.Second && now.Sub(s.lastOut) >= 30*time.Second {
		s.lastOut = now
		fmt.Fprintln(s.r.w, s.line())
	}
}

// Done ends the step. In a line an empty note is replaced by the time that the step took; an event has both.
func (s *Step) Done(note string) {
	if s == nil {
		return
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	took := s.r.now().Sub(s.begun)
	if s.r.json {
		e := s.event(End, note)
		e.Took = took
		s.r.emit(e)
		return
	}
	if note == "" {
		note = Round(took)
	}
	s.r.clear()
	fmt.Fprintf(s.r.w, "%s  %s\n", s.title(), note)
	s.r.going = slices.DeleteFunc(s.r.going, func(o *Step) bool { return o == s })
}

// line is the step's state in words.
func (s *Step) line() string {
	parts := []string{s.title()}
	if s.detail != "" {
		parts = append(parts, s.detail)
	}
	if s.frac > 0 {
		parts = append(parts, s.percent())
	}
	if left, ok := s.left(); ok {
		parts = append(parts, Round(left)+" left")
	}
	return strings.Join(parts, "  ")
}

func (s *Step) percent() string { return fmt.Sprintf("%d%%", int(s.frac*100)) }

// left is the time until this and all later steps are done; false if it is not known. The
// step's own is extrapolated from its fraction. Before 3 % or 2 s that would be a guess: the
// time that the step was expected to take is better.
func (s *Step) left() (time.Duration, bool) {
	took := s.r.now().Sub(s.begun)
	switch {
	case s.frac >= 0.03 && s.frac < 1 && took >= 2*time.Second:
		return time.Duration(float64(took)*(1-s.frac)/s.frac) + s.later, true
	case s.expected > 0:
		return max(s.expected-took, 0) + s.later, true
	}
	return 0, false
}

// draw shows the steps under way.
func (r *Reporter) draw() {
	now := r.now()
	line := []rune(r.line(now))
	if len(line) >= r.width {
		line = line[:r.width-1]
	}
	fmt.Fprintf(r.w, "\r\x1b[K%s", string(line))
	r.drawn, r.lastOut = true, now
}

// line is the line of the one step under way, or the states of several and the longest
// time left. A step that has said nothing for the time silence waits or was given up: it is
// left out until it says something.
func (r *Reporter) line(now time.Time) string {
	var heard []*Step
	for _, s := range r.going {
		if now.Sub(s.heard) <= silence {
			heard = append(heard, s)
		}
	}
	if len(heard) == 1 {
		return heard[0].line()
	}
	var states []string
	var left time.Duration
	for _, s := range heard {
		states = append(states, s.title()+" "+s.percent())
		if d, ok := s.left(); ok {
			left = max(left, d)
		}
	}
	line := strings.Join(states, " | ")
	if left > 0 {
		line = Round(left) + " left: " + line
	}
	return line
}

func (r *Reporter) clear() {
	if r.drawn {
		fmt.Fprint(r.w, "\r\x1b[K")
		r.drawn = false
	}
}

// Round prints d as a person says it: 4.2s, 41s, 6m10s, 2h05m.
func Round(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}
