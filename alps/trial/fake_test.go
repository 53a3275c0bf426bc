// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/clock"
)

// fakeHost is a host in virtual time: a daemon on a unix socket, and functions that are
// invoked. Its clock goes on when the trial sleeps, and what ends meanwhile has reached the
// trial when the sleep is over.
type fakeHost struct {
	t      *testing.T
	socket string
	server *http.Server

	mu        sync.Mutex
	now       clock.KTime
	status    client.Status
	modes     []client.Mode // that the daemon was switched to
	rules     []client.Rule
	refuse    func(client.Mode) string // why the daemon refuses a mode; "": it does not
	functions []fakeFunction
	running   []client.Event
	recent    []client.Event
	readers   map[chan client.Event]bool
	got       int  // events that the trial has
	down      bool // nobody sends events
	events    map[time.Duration]func()
	rng       *rand.Rand
}

// fakeFunction arrives every 100 ms.
type fakeFunction struct {
	client.FunctionStatus
	turnaround map[string]time.Duration // by policy; times e to a normal number × spread
	spread     float64
	busy       bool
	idle       bool // it does not wait for a CPU
}

func function(uid, name string, cfs, steady time.Duration) fakeFunction {
	return fakeFunction{FunctionStatus: client.FunctionStatus{Function: client.Function{UID: uid, Name: name}, Counted: "process", Steered: true},
		turnaround: map[string]time.Duration{client.PolicyCFS: cfs, client.PolicySteady: steady}, spread: 0.2}
}

func newHost(t *testing.T, functions ...fakeFunction) *fakeHost {
	h := &fakeHost{t: t, socket: filepath.Join(t.TempDir(), "s"), now: 1000 * clock.KTime(time.Second), functions: functions, readers: map[chan client.Event]bool{},
		events: map[time.Duration]func(){}, rng: rand.New(rand.NewPCG(1, 2))}
	h.status = client.Status{Backend: "hooks", Mode: steady(), Conditions: map[string]string{"daemon": "process 1"}}
	h.serve()
	return h
}

// steady has a parameter of its own.
func steady() client.Mode {
	p := policy.DefaultSteady()
	p.Memory = 9
	return client.Mode{Policy: client.PolicySteady, Steady: &p}
}

func defaultMode(name string) (client.Mode, error) {
	p := policy.DefaultSteady()
	if name == client.PolicySteady {
		return client.Mode{Policy: name, Steady: &p}, nil
	}
	return client.Mode{Policy: name, Order: "bounded", Step: "1s"}, nil
}

func (h *fakeHost) serve() {
	l, err := net.Listen("unix", h.socket)
	require.NoError(h.t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		s := h.status
		s.Functions = []client.FunctionStatus{}
		for _, f := range h.functions {
			s.Functions = append(s.Functions, f.FunctionStatus)
		}
		json.NewEncoder(w).Encode(s)
	})
	mux.HandleFunc("PUT /mode", func(w http.ResponseWriter, r *http.Request) {
		var m client.Mode
		json.NewDecoder(r.Body).Decode(&m)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.refuse != nil {
			if why := h.refuse(m); why != "" {
				http.Error(w, why, http.StatusBadRequest)
				return
			}
		}
		h.status.Mode, h.status.Decisions, h.rules = m, nil, nil
		h.modes = append(h.modes, m)
		w.Write([]byte("{}"))
	})
	mux.HandleFunc("PUT /policy", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		json.NewDecoder(r.Body).Decode(&h.rules)
		w.Write([]byte("{}"))
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		since, err := strconv.ParseUint(r.FormValue("since"), 10, 64)
		if err != nil {
			since = math.MaxUint64
		}
		ch := make(chan client.Event, 1<<16)
		h.mu.Lock()
		for _, e := range h.recent {
			if e.ReadNS > since {
				ch <- e
			}
		}
		h.readers[ch] = true
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			delete(h.readers, ch)
			h.mu.Unlock()
		}()
		flush := http.NewResponseController(w)
		w.WriteHeader(http.StatusOK)
		flush.Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case e := <-ch:
				out := json.NewEncoder(w)
				out.Encode(e)
				for range len(ch) {
					out.Encode(<-ch)
				}
				if flush.Flush() != nil {
					return
				}
			}
		}
	})
	h.server = &http.Server{Handler: mux}
	go h.server.Serve(l)
	h.t.Cleanup(func() { h.server.Close() })
}

// daemon is the client as the trial has it: it notes which events have come.
type daemon struct {
	*client.Client
	h *fakeHost
}

func (d daemon) noted(f func(client.Event)) func(client.Event) {
	return func(e client.Event) {
		f(e)
		d.h.mu.Lock()
		d.h.got++
		d.h.mu.Unlock()
	}
}

func (d daemon) Events(ctx context.Context, ready func(), f func(client.Event)) error {
	return d.Client.Events(ctx, ready, d.noted(f))
}

func (d daemon) EventsSince(ctx context.Context, readNS uint64, f func(client.Event)) error {
	return d.Client.EventsSince(ctx, readNS, d.noted(f))
}

// sleep lets the host go on by d.
func (h *fakeHost) sleep(ctx context.Context, d time.Duration) error {
	const gap = 100 * time.Millisecond
	h.mu.Lock()
	from := h.now
	h.now = from.Add(d)
	for at := from; at < h.now; at++ {
		if at%clock.KTime(gap) != 0 {
			at += clock.KTime(gap) - at%clock.KTime(gap) - 1
			continue
		}
		for _, f := range h.functions {
			long := time.Duration(float64(f.turnaround[h.status.Mode.Policy]) * math.Exp(f.spread*h.rng.NormFloat64()))
			e := client.Event{UID: f.UID, Function: f.Name, ArriveNS: uint64(at), EndNS: uint64(at.Add(long)), CPUNS: uint64(10 * time.Millisecond), WaitNS: uint64(long / 2), Busy: f.busy}
			if f.idle {
				e.WaitNS = 0
			}
			h.running = append(h.running, e)
		}
	}
	var later []client.Event
	for _, e := range h.running {
		if e.EndNS > uint64(h.now) {
			later = append(later, e)
			continue
		}
		e.ReadNS = uint64(h.now) + uint64(len(h.recent))
		h.recent = append(h.recent, e)
		for r := range h.readers {
			r <- e
		}
	}
	h.running = later
	for at, f := range h.events {
		if h.now.Sub(1000*clock.KTime(time.Second)) >= at {
			delete(h.events, at)
			h.mu.Unlock()
			f()
			h.mu.Lock()
		}
	}
	h.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Microsecond) {
		h.mu.Lock()
		got, sent, down := h.got, len(h.recent), h.down
		h.mu.Unlock()
		if got >= sent || down {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the trial has %d of %d events", got, sent)
		}
	}
}

func (h *fakeHost) time() clock.KTime {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// change changes the daemon under its lock.
func (h *fakeHost) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// trial is one of the host, of four rounds unless a test says otherwise.
func (h *fakeHost) trial() Trial {
	return Trial{Config: Config{A: client.PolicyCFS, B: client.PolicySteady, Rounds: 4, Each: 20 * time.Second, Settle: 5 * time.Second},
		Daemon: daemon{client.New(h.socket), h}, Default: defaultMode, Now: h.time, Sleep: h.sleep}
}

// policies are those that the daemon was switched to.
func (h *fakeHost) policies() (names []string) {
	for _, m := range h.modes {
		names = append(names, m.Policy)
	}
	return names
}
