// SPDX-License-Identifier: Apache-2.0

// Package loadgen replays a trace against the worker, inside the guest, and joins
// what the client saw with what the kernel's observer saw.
//
// It is an open loop: a request is sent when it is due, whatever became of the
// ones before.
package loadgen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/clock"
	olclient "github.com/ds2-lab/alps/openlambda/client"
)

// Header is the first line of the trace that the host sends into the guest.
const Header = "id,function,uid,group,n,port,size,rounds,due_ns"

// Request is one row: an invocation and when it is due after the start.
type Request struct {
	ID       int
	Function string
	UID      string
	Group    string
	N        int // the trace's argument, kept in the results
	Port     string
	Size     int // the argument the function gets here
	Rounds   int // how often its body runs
	Due      time.Duration
}

// WriteTrace writes the header and a row per request.
func WriteTrace(w io.Writer, reqs []Request) error {
	line := append([]byte(Header), '\n')
	for _, r := range reqs {
		if _, err := w.Write(line); err != nil {
			return err
		}
		line = strconv.AppendInt(line[:0], int64(r.ID), 10)
		for _, text := range []string{r.Function, r.UID, r.Group, strconv.Itoa(r.N), r.Port} {
			line = append(append(line, ','), text...)
		}
		for _, number := range []int64{int64(r.Size), int64(r.Rounds), r.Due.Nanoseconds()} {
			line = strconv.AppendInt(append(line, ','), number, 10)
		}
		line = append(line, '\n')
	}
	_, err := w.Write(line)
	return err
}

// ReadTrace reads what WriteTrace wrote. Errors begin with name:line.
func ReadTrace(name string, r io.Reader) ([]Request, error) {
	var out []Request
	err := results.ReadRows(name, r, Header, func(f *results.Row) error {
		out = append(out, Request{ID: int(f.Count(0)), Function: f.Text(1), UID: f.Text(2), Group: f.Text(3), N: int(f.Count(4)), Port: f.Text(5),
			Size: int(f.Count(6)), Rounds: int(f.Count(7)), Due: time.Duration(f.Count(8))})
		return f.Err
	})
	return out, err
}

// Outcome is a replay's result.
type Outcome struct {
	Invocations []results.Invocation `json:"-"`

	MeanGap time.Duration `json:"mean_gap_ns"`
	LateP50 time.Duration `json:"late_p50_ns"` // sent − due
	LateP99 time.Duration `json:"late_p99_ns"`
	LateMax time.Duration `json:"late_max_ns"`
	Span    time.Duration `json:"span_ns"` // the time the trace covers: last due plus a mean gap
	Took    time.Duration `json:"took_ns"` // until the last invocation ended
	CPU     time.Duration `json:"cpu_ns"`  // of all invocations
	// Platform is the CPU time of worker, Docker and the functions' servers from
	// the first request on, without that of the invocations.
	Platform time.Duration `json:"platform_ns"`
	Failed   int           `json:"failed"`
	Lost     uint64        `json:"lost"` // invocations that were seen, but not reported
	Errors   []string      `json:"errors"`
	Broken   []string      `json:"broken"` // conditions that did not hold from begin to end

	WaitNS   []int64          `json:"wait_ns"` // of each of Invocations: runnable, but not on a CPU
	Slices   []results.Slices `json:"slices"`  // by group, then length
	Observer Observer         `json:"observer"`

	Charge *Charge `json:"charge,omitempty"` // of the program that decided, if one did
}

// Observer is what the daemon says of the observer, and what it saw beyond invocations.
type Observer struct {
	Lost        alpsclient.Lost `json:"lost"`
	ExactSlices bool            `json:"exact_slices"` // whether segments were counted to the microsecond; else by a histogram
	// WaitShare is, by group, for how long invocations were runnable but not on
	// a CPU, as a share of their CPU time.
	WaitShare   map[string]float64 `json:"wait_share"`
	RTRuntimeUS int64              `json:"rt_runtime_us"`
	RTPeriodUS  int64              `json:"rt_period_us"`
}

// Replayer sends requests. Daemon reports the invocations that they led to.
type Replayer struct {
	Daemon   *alpsclient.Client
	Base     func(port string) string // nil: http://127.0.0.1:port
	Align    time.Duration            // the trace begins setUpTime after a multiple of it on the guest's clock, so that ticks and updates fall alike; 0: at once
	Drain    time.Duration            // how long after the last request is due all must be answered; 0: 5 minutes
	Progress func(done, total int)    // may be nil
}

// pidKey finds the event of a reply: the pid is the one in the container.
type pidKey struct {
	uid   string
	nspid uint32
}

// Replay switches the daemon to mode, or under fifo and rr the functions to the
// kernel's class, sends reqs when they are due, and returns when all were
// answered and observed. reqs must be in order of Due.
func (r *Replayer) Replay(ctx context.Context, mode alpsclient.Mode, reqs []Request) (_ Outcome, failed error) {
	if len(reqs) == 0 {
		return Outcome{}, errors.New("loadgen: the trace is empty")
	}
	// The daemon's updates count from SetMode, which is called at the multiple of Align.
	var start int64
	if r.Align > 0 {
		begin, err := sleepToMultiple(ctx, r.Align)
		if err != nil {
			return Outcome{}, err
		}
		start = begin + int64(setUpTime)
	}
	class, realtime := classes[mode.Policy]
	if realtime {
		mode.Policy = "cfs"
	}
	if err := r.Daemon.SetMode(ctx, mode); err != nil {
		return Outcome{}, err
	}
	before, err := r.Daemon.Status(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if realtime {
		undo, err := realTime(class, before.Functions)
		if err != nil {
			return Outcome{}, err
		}
		defer func() { failed = errors.Join(failed, undo()) }()
	}
	drain := r.Drain
	if drain == 0 {
		drain = 5 * time.Minute
	}
	limit := reqs[len(reqs)-1].Due + drain
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not drained %s after the last request was due", drain))
	defer cancel()
	seen := newObserved()
	if err := seen.follow(ctx, r.Daemon); err != nil {
		return Outcome{}, err
	}
	sent := make([]int64, len(reqs))
	replies := make([]olclient.Reply, len(reqs))
	errs := make([]error, len(reqs))
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer hc.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	used, err := platformTime(cgroupRoot)
	if err != nil {
		return Outcome{}, err
	}
	start = max(start, int64(clock.Now())+int64(50*time.Millisecond))
	for i, q := range reqs {
		if err := sleepUntil(ctx, start+int64(q.Due)); err != nil {
			break
		}
		sent[i] = int64(clock.Now())
		wg.Go(func() {
			base := "http://127.0.0.1:" + q.Port
			if r.Base != nil {
				base = r.Base(q.Port)
			}
			replies[i], errs[i] = olclient.Invoke(ctx, hc, base, q.Function, olclient.Request{
				N: strconv.Itoa(q.Size), ID: strconv.Itoa(q.ID), Job: q.Function, Rounds: strconv.Itoa(q.Rounds)})
			mu.Lock()
			done++
			if r.Progress != nil {
				r.Progress(done, len(reqs))
			}
			mu.Unlock()
		})
	}
	wg.Wait()
	seen.wait(ctx, done, 5*time.Second)
	usedAfter, err := platformTime(cgroupRoot)
	if err != nil {
		return Outcome{}, err
	}
	after, err := r.Daemon.Status(context.WithoutCancel(ctx))
	if err != nil {
		return Outcome{}, err
	}
	out := join(reqs, start, sent, replies, errs, seen)
	out.Platform = max(0, usedAfter-used-out.CPU)
	lost := after.Lost.Since(before.Lost)
	out.Lost = lost.Invocations + lost.Stream
	out.Observer.Lost, out.Observer.ExactSlices = lost, mode.FullSlices
	out.Observer.RTRuntimeUS, out.Observer.RTPeriodUS = after.RTRuntimeUS, after.RTPeriodUS
	out.Broken = broken(before, after, start, reqs)
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	return out, nil
}

// setUpTime lies between a multiple of Align and the trace's start: longer than
// the daemon takes to change its mode.
const setUpTime = 250 * time.Millisecond

// join makes a row of every request. Pids may come again within a long run, so
// an event belongs to a reply only if its process began after the request.
func join(reqs []Request, start int64, sent []int64, replies []olclient.Reply, errs []error, seen *observed) Outcome {
	out := Outcome{Errors: []string{}, WaitNS: make([]int64, len(reqs)), Slices: []results.Slices{}, Observer: Observer{WaitShare: map[string]float64{}}}
	lengths := map[results.Slices]int64{} // by rows without their counts
	cpu := map[string]float64{}
	var late []time.Duration
	var last int64
	for i, q := range reqs {
		inv := results.Invocation{ID: q.ID, Function: q.Function, UID: q.UID, Group: q.Group, N: q.N,
			SendNS: sent[i], Status: results.Failed}
		var e *alpsclient.Event
		if sent[i] != 0 {
			late = append(late, time.Duration(sent[i]-start)-q.Due)
		}
		switch {
		case sent[i] == 0:
			errs[i] = errors.New("never sent")
		case errs[i] == nil:
			if e = seen.take(pidKey{q.UID, replies[i].PID}, sent[i]); e == nil {
				errs[i] = fmt.Errorf("uid %s pid %d: answered, but not observed", q.UID, replies[i].PID)
			}
		}
		if e != nil {
			inv.ArriveNS, inv.StartNS, inv.EndNS, inv.CPUNS = int64(e.ArriveNS), int64(e.StartNS), int64(e.EndNS), int64(e.CPUNS)
			inv.SwitchesVol, inv.SwitchesInvol = int(e.SwitchesVol), int(e.SwitchesInvol)
			inv.Status = results.OK
			out.WaitNS[i] = int64(e.WaitNS)
			for _, s := range e.Slices {
				lengths[results.Slices{Group: q.Group, Length: time.Duration(s.LengthUS) * time.Microsecond}] += int64(s.Count)
			}
			out.Observer.WaitShare[q.Group] += float64(e.WaitNS)
			cpu[q.Group] += float64(e.CPUNS)
			out.CPU += time.Duration(e.CPUNS)
			last = max(last, inv.EndNS)
		} else {
			out.Failed++
			if len(out.Errors) < 20 {
				out.Errors = append(out.Errors, fmt.Sprintf("invocation %d: %v", q.ID, errs[i]))
			}
		}
		out.Invocations = append(out.Invocations, inv)
	}
	for row, count := range lengths {
		row.Count = count
		out.Slices = append(out.Slices, row)
	}
	slices.SortFunc(out.Slices, func(a, b results.Slices) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Length, b.Length))
	})
	for group := range cpu {
		out.Observer.WaitShare[group] /= max(cpu[group], 1)
	}
	if n := len(reqs); n > 1 {
		out.MeanGap = reqs[n-1].Due / time.Duration(n-1)
	}
	out.Span = reqs[len(reqs)-1].Due + out.MeanGap
	out.Took = time.Duration(last - start)
	if len(late) > 0 {
		slices.Sort(late)
		out.LateP50, out.LateP99, out.LateMax = late[len(late)/2], late[len(late)*99/100], late[len(late)-1]
	}
	return out
}

// observed collects the daemon's events.
type observed struct {
	mu     sync.Mutex
	byPID  map[pidKey][]alpsclient.Event
	n      int
	newest uint64 // read_ns
	err    error
}

func newObserved() *observed { return &observed{byPID: map[pidKey][]alpsclient.Event{}} }

// follow returns when the stream of events is open, and goes on reading it. A daemon
// that dies may come back within returnLimit: the kernel keeps the events for it.
func (o *observed) follow(ctx context.Context, d *alpsclient.Client) error {
	open := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		err := d.Events(ctx, func() { close(open) }, o.add)
		failed <- err
		for gone := time.Now(); ctx.Err() == nil && time.Since(gone) < returnLimit; {
			time.Sleep(100 * time.Millisecond)
			o.mu.Lock()
			since, n := o.newest, o.n
			o.mu.Unlock()
			err = d.EventsSince(ctx, since, o.add)
			o.mu.Lock()
			if o.n > n {
				gone = time.Now()
			}
			o.mu.Unlock()
		}
		o.mu.Lock()
		o.err = err
		o.mu.Unlock()
	}()
	select {
	case <-open:
		return nil
	case err := <-failed:
		return err
	}
}

// returnLimit is how long after the last event a daemon may be away.
const returnLimit = 30 * time.Second

func (o *observed) add(e alpsclient.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := pidKey{e.UID, e.NSPID}
	o.byPID[k] = append(o.byPID[k], e)
	o.newest = max(o.newest, e.ReadNS)
	o.n++
}

// wait gives the last events time to come: n of them, or as long as patience.
func (o *observed) wait(ctx context.Context, n int, patience time.Duration) {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		o.mu.Lock()
		enough := o.n >= n || o.err != nil
		o.mu.Unlock()
		if enough {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// take removes and returns the first event of k whose process began at or after since (ns); nil if there is none.
func (o *observed) take(k pidKey, since int64) *alpsclient.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, e := range o.byPID[k] {
		if int64(e.ArriveNS) >= since {
			o.byPID[k] = slices.Delete(o.byPID[k], i, i+1)
			return &e
		}
	}
	return nil
}
