// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"encoding/json"
	"io"
	"strings"
	"time"
)

// Kinds of events.
const (
	Begin   = "begin"   // a step began
	Going   = "going"   // a step got on, or says in Text what it does
	End     = "end"     // a step is done; Text says how
	Message = "message" // a line of output that belongs to no step
)

// Event is one line of a reporter for tools: a JSON object.
type Event struct {
	Time  time.Time     `json:"time"`
	Kind  string        `json:"kind"`
	Step  string        `json:"step,omitzero"`
	Index int           `json:"index,omitzero"` // from 1
	Of    int           `json:"of,omitzero"`
	Frac  float64       `json:"frac,omitzero"`    // of this step, 0 to 1
	Left  time.Duration `json:"left_ns,omitzero"` // of this and all later steps
	Took  time.Duration `json:"took_ns,omitzero"` // of a step that is done
	Text  string        `json:"text,omitzero"`
}

// NewJSON returns a reporter that writes an Event per line.
func NewJSON(w io.Writer) *Reporter {
	return &Reporter{w: w, json: true, now: time.Now}
}

// emit writes e. The reporter is locked.
func (r *Reporter) emit(e Event) {
	e.Time = r.now()
	// Marshal cannot fail for these fields, and a reader that is gone is no
	// reason to end a long job.
	line, _ := json.Marshal(e)
	_, _ = r.w.Write(append(line, '\n'))
}

// event is the step's state.
func (s *Step) event(kind, text string) Event {
	e := Event{Kind: kind, Step: s.name, Index: s.index, Of: s.of, Frac: s.frac, Text: text}
	if left, ok := s.left(); ok && kind != End {
		e.Left = left
	}
	return e
}

// message wraps other output, line by line.
func (r *Reporter) message(p []byte) {
	for line := range strings.Lines(string(p)) {
		r.emit(Event{Kind: Message, Text: strings.TrimRight(line, "\r\n")})
	}
}
