// Package progress tells a person how far a long job is.
//
// On a terminal there is one line, drawn again in place; elsewhere one line
// per step begun or ended, so that a log stays readable. A job shorter than a
// second shows nothing but its last line.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// redraw is the shortest time between two drawings of the line.
const redraw = 200 * time.Millisecond

// Reporter writes steps to one writer. A nil Reporter writes nothing.
type Reporter struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	width int
	drawn bool // the terminal's last line is ours to overwrite
	now   func() time.Time
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
	r.clear()
	return r.w.Write(p)
}

// Printf writes one line of its own.
func (r *Reporter) Printf(format string, args ...any) {
	fmt.Fprintf(r, format+"\n", args...)
}

// Step begins step i of n. n = 0 leaves the count out.
func (r *Reporter) Step(name string, i, n int) *Step {
	if r == nil {
		return nil
	}
	s := &Step{r: r, name: name}
	if n > 0 {
		s.name = fmt.Sprintf("%d/%d %s", i, n, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.begun = r.now()
	if r.tty {
		s.draw()
	} else {
		fmt.Fprintln(r.w, s.name)
	}
	return s
}

// Step is one step under way. A nil Step does nothing.
type Step struct {
	r       *Reporter
	name    string
	detail  string
	frac    float64
	begun   time.Time
	lastOut time.Time
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
	if s.r.tty {
		if now.Sub(s.lastOut) >= redraw {
			s.draw()
		}
		return
	}
	// A log gets a sign of life every half minute.
	if now.Sub(s.begun) >= 30*time.Second && now.Sub(s.lastOut) >= 30*time.Second {
		s.lastOut = now
		fmt.Fprintln(s.r.w, s.line())
	}
}

// Done ends the step. An empty note is replaced by the time it took.
func (s *Step) Done(note string) {
	if s == nil {
		return
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if note == "" {
		note = Round(s.r.now().Sub(s.begun))
	}
	s.r.clear()
	fmt.Fprintf(s.r.w, "%s  %s\n", s.name, note)
}

// line is the step's state in words.
func (s *Step) line() string {
	parts := []string{s.name}
	if s.detail != "" {
		parts = append(parts, s.detail)
	}
	if s.frac > 0 {
		parts = append(parts, fmt.Sprintf("%d%%", int(s.frac*100)))
		if left, ok := s.left(); ok {
			parts = append(parts, Round(left)+" left")
		}
	}
	return strings.Join(parts, "  ")
}

// left extrapolates; before 3 % or 2 s it would be a guess.
func (s *Step) left() (time.Duration, bool) {
	took := s.r.now().Sub(s.begun)
	if s.frac < 0.03 || s.frac >= 1 || took < 2*time.Second {
		return 0, false
	}
	return time.Duration(float64(took) * (1 - s.frac) / s.frac), true
}

func (s *Step) draw() {
	line := []rune(s.line())
	if len(line) >= s.r.width {
		line = line[:s.r.width-1]
	}
	fmt.Fprintf(s.r.w, "\r\x1b[K%s", string(line))
	s.r.drawn = true
	s.lastOut = s.r.now()
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
