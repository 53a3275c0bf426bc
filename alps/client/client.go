// SPDX-License-Identifier: Apache-2.0

// Package client speaks to the ALPS daemon over its socket.
//
// The daemon serves HTTP on a unix socket that only root may open:
//
//	GET /status             Status
//	GET /policy             []Entry, the policy that counts: with the hooks, read
//	                        back from the kernel; with scx, as its scheduler was
//	                        told; none when it is no longer valid
//	PUT /policy             []Rule; the policy, under the mode manual, whole or not at all
//	PUT /mode               Mode; clears the window and the map
//	PUT /functions/{uid}    Registration of a cgroup as a function
//	GET /events?since=NS    Event, one JSON line per finished invocation; first
//	                        those known whose read_ns is after since, if it is given
//
// A refusal is a line of text: with 400 the request is to blame, with 500 the
// kernel. Either way nothing has changed.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
)

// DefaultSocket is where the daemon listens unless told otherwise.
const DefaultSocket = "/run/alps.sock"

// Policies, by what decides on ranks and slices.
const (
	PolicyCFS    = "cfs"    // nothing: the kernel alone
	PolicySteady = "steady" // policy.Steady
	PolicyALPS   = "alps"   // policy.Policy
	PolicySFS    = "sfs"    // the mean gap between arrivals
	PolicyManual = "manual" // whoever calls SetPolicy
)

// Policies are all that a Mode may name.
func Policies() []string {
	return []string{PolicySteady, PolicyALPS, PolicySFS, PolicyManual, PolicyCFS}
}

// Mode is what decides: steady; ALPS; SFS; whoever calls SetPolicy; or nothing,
// and the invocations are observed only.
type Mode struct {
	Policy     string               `json:"policy"`                // steady, alps, sfs, manual or cfs
	Order      string               `json:"order,omitempty"`       // off, fifo, strict or bounded; "" is bounded
	Step       string               `json:"step,omitempty"`        // bias per rank under bounded, as "1s"
	Params     *policy.Params       `json:"params,omitempty"`      // nil: the paper's
	Steady     *policy.SteadyParams `json:"steady,omitempty"`      // of the policy steady; nil: the defaults
	FullSlices bool                 `json:"full_slices,omitempty"` // events carry the exact lengths of on-CPU segments
}

// Rule is what is wanted of one function.
type Rule struct {
	UID   string        `json:"uid"`      // or a name that only one uid has
	Rank  int           `json:"rank"`     // from 1; a lower one goes first
	Slice time.Duration `json:"slice_ns"` // 0: CFS's
}

// Function is a cgroup in which invocations run.
type Function struct {
	UID    string `json:"uid"`
	Name   string `json:"name"`
	Cgroup string `json:"cgroup"` // below /sys/fs/cgroup
	ID     uint64 `json:"id"`     // the cgroup's

	Source      string `json:"source,omitempty"`      // what an invocation is: see the constants; "": the daemon's default
	Concurrency int    `json:"concurrency,omitempty"` // requests that are served at a time, under busy and auto; 0: 1
	Idle        string `json:"idle,omitempty"`        // the sleep that ends a busy period, such as 5ms; "": 1ms
}

// What an invocation of a function is.
const (
	SourceProcess = "process" // a process forked in its cgroup
	SourceBusy    = "busy"    // a busy period of the cgroup, or of a thread if its concurrency is over 1
	SourceAuto    = "auto"    // busy if it uses the CPU but forks nothing, else process
)

// FunctionStatus is a function, and whether ALPS steers it.
type FunctionStatus struct {
	Function
	Counted string `json:"counted"` // what its invocations are at the moment: process, busy or threads
	Steered bool   `json:"steered"`
	Why     string `json:"why,omitempty"` // why it is not steered
}

// Refusal is a cgroup that was found or registered as a function, and refused.
type Refusal struct {
	Function
	Why string `json:"why"`
}

// Problem is a state in which ALPS does not steer what it should, or does not
// see all invocations. A state that was asked for, such as the policy cfs, is no
// problem.
type Problem struct {
	What      string   `json:"what"`                // see the constants
	Why       string   `json:"why"`                 // for people
	Functions []string `json:"functions,omitempty"` // uids, or the cgroup of one without a uid; none: all
	BeganNS   uint64   `json:"began_ns"`            // CLOCK_MONOTONIC
	EndedNS   uint64   `json:"ended_ns,omitempty"`  // 0: it goes on
}

// What can be wrong.
const (
	HooksOff      = "hooks off"        // kernel.sched_alps is 0
	OtherInCharge = "other in charge"  // another daemon or sched_ext scheduler; or, with -delegated, no scheduler in user space
	NoController  = "no controller"    // a function's cgroup has no CPU controller
	NoInvocation  = "no invocation"    // a function uses CPU time, but forks no invocation
	BackendEnded  = "backend ended"    // by the kernel, with its reason
	OutOfDate     = "out of date"      // the policy could not be brought up to date
	MapFull       = "map full"         // one of the kernel's maps, see Usage
	EventsLost    = "events lost"      // see Lost
	Refused       = "function refused" // see Refusal
	NotSteered    = "not steered"      // a function by its entry in the policy, though the others are
)

// Stat is a counter of the backend since it was attached.
type Stat struct {
	Name  string `json:"name"` // with the unit, as "decisions" or "idle_ns"
	Value uint64 `json:"value"`
}

// Table is what the policy steady has learnt of one function.
type Table struct {
	UID     string `json:"uid"`
	Records uint64 `json:"records"` // invocations that ended; 0: the table is that of all functions together

	// Of an invocation that has used no CPU time yet.
	IndexNS   time.Duration `json:"index_ns"`   // expected CPU time per end; a lower one goes first
	BiasNS    time.Duration `json:"bias_ns"`    // by how much the function yields
	QuantumNS time.Duration `json:"quantum_ns"` // after which it is weighed anew
	LongestNS time.Duration `json:"longest_ns"` // no recorded invocation used more
}

// Usage is how full one of the kernel's maps is.
type Usage struct {
	Map  string `json:"map"`
	Used int    `json:"used"` // entries
	Size int    `json:"size"` // most entries
}

// Status is what the daemon believes.
type Status struct {
	Mode       Mode              `json:"mode"`
	Backend    string            `json:"backend"`         // how the policy reaches the kernel: hooks, scx, delegated, observe
	BackendWhy string            `json:"backend_why"`     // why it is that one
	Stats      []Stat            `json:"stats,omitempty"` // the backend's counters
	Generation uint64            `json:"generation"`      // policies published since the start
	Attached   bool              `json:"attached"`        // the backend, not only the observer
	Resumed    bool              `json:"resumed"`         // from what a daemon before had pinned
	LoadPct    float64           `json:"load_pct"`        // CPU utilisation at the last update
	Lost       Lost              `json:"lost"`
	Records    int               `json:"records"` // in the window
	Functions  []FunctionStatus  `json:"functions"`
	Refused    []Refusal         `json:"refused,omitempty"`
	Decisions  []policy.Decision `json:"decisions"`
	Tables     []Table           `json:"tables,omitempty"`   // of the policy steady
	Problems   []Problem         `json:"problems,omitempty"` // that go on, and the last of those that ended
	Usage      []Usage           `json:"usage,omitempty"`    // at the last sweep
	UpdateNS   int64             `json:"update_ns"`          // what learning took at the last update, without writing to the kernel
	LastError  string            `json:"last_error,omitempty"`

	// The kernel's limit on real-time classes, in which FIFO and RR run.
	RTRuntimeUS int64 `json:"rt_runtime_us"` // of each period; -1: no limit
	RTPeriodUS  int64 `json:"rt_period_us"`

	// Conditions are what must stay the same for as long as something is
	// measured: which daemon, kernel, scheduler, hooks and CPUs, by name.
	Conditions map[string]string `json:"conditions"`
}

// Lost is what the observer did not see or could not tell.
type Lost struct {
	Invocations uint64 `json:"invocations"` // never reported, or of a cgroup that went while no daemon ran
	Tasks       uint64 `json:"tasks"`       // threads and descendants not accounted
	Slices      uint64 `json:"slices"`      // on-CPU segments, of those wanted one by one
	Orphans     uint64 `json:"orphans"`     // tasks that outlived their invocation
	Stream      uint64 `json:"stream"`      // events a reader was too slow for
}

// Since is what was lost after before. A daemon that was started in between
// counts some of it anew.
func (l Lost) Since(before Lost) Lost {
	since := func(after, before uint64) uint64 {
		if after < before {
			return after
		}
		return after - before
	}
	return Lost{since(l.Invocations, before.Invocations), since(l.Tasks, before.Tasks), since(l.Slices, before.Slices),
		since(l.Orphans, before.Orphans), since(l.Stream, before.Stream)}
}

// Entry is the policy of one function.
type Entry struct {
	Function
	BiasUS     uint32 `json:"bias_us"`
	SliceUS    uint32 `json:"slice_us"`
	LateBiasUS uint32 `json:"late_bias_us,omitempty"` // SFS
	Steps      []Step `json:"steps,omitempty"`        // steady; bias and slice are then those of a new invocation
}

// Step is a piece of a function's table under the policy steady.
type Step struct {
	UsedNS  time.Duration `json:"used_ns"`  // CPU time used, to the next step's
	IndexNS time.Duration `json:"index_ns"` // there
	Slope   float64       `json:"slope"`    // by how much the index grows per CPU time used
	EndNS   time.Duration `json:"end_ns"`   // CPU time used when the quantum ends
}

// Event is one finished invocation. Times are CLOCK_MONOTONIC, ns.
type Event struct {
	UID           string `json:"uid"`
	Function      string `json:"function"`
	Cgroup        uint64 `json:"cgroup"`         // id of the function's cgroup
	PID           uint32 `json:"pid"`            // in the initial namespace
	NSPID         uint32 `json:"nspid"`          // in the process's own namespace
	ArriveNS      uint64 `json:"arrive_ns"`      // its process was forked
	StartNS       uint64 `json:"start_ns"`       // first on a CPU
	EndNS         uint64 `json:"end_ns"`         // its process ended
	CPUNS         uint64 `json:"cpu_ns"`         // with threads and descendants, as the next ones
	WaitNS        uint64 `json:"wait_ns"`        // runnable, but not on a CPU
	SwitchesVol   uint32 `json:"switches_vol"`   // times it blocked
	SwitchesInvol uint32 `json:"switches_invol"` // to another invocation; a thread of no function that runs in between does not count
	Tasks         uint32 `json:"tasks"`          // threads that it and its descendants had, its first among them
	ReadNS        uint64 `json:"read_ns"`        // the daemon had it from the kernel: later than of any event before, also of an earlier daemon's
	Busy          bool   `json:"busy,omitempty"` // a busy period: arrive_ns is when its first thread woke, end_ns since when all sleep

	// On-CPU segments by length: the middle of the histogram's bucket (of the last
	// bucket its begin), or exact if Exact.
	Slices []Slices `json:"slices"`
	Exact  bool     `json:"exact,omitempty"`
}

// Slices counts on-CPU segments of one length.
type Slices struct {
	LengthUS uint64 `json:"length_us"` // on the CPU
	Count    uint64 `json:"count"`     // how many were so long
}

// Client is a connection to a daemon.
type Client struct {
	http *http.Client
}

// New returns a client of the daemon at socket; "" is DefaultSocket.
func New(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			return conn, nextAction(err)
		},
	}}}
}

// nextAction adds to the error of a connection what to do about it.
func nextAction(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (the socket is root's: run this as root)", err)
	}
	return fmt.Errorf("%w (is the daemon running? start it with: alps run)", err)
}

// Status asks what the daemon believes.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.do(ctx, http.MethodGet, "/status", nil, &s)
}

// Policy asks for the policy that counts. With the hooks it is read back from the kernel;
// with scx it is what the scheduler was told, for as long as that is in charge.
func (c *Client) Policy(ctx context.Context) ([]Entry, error) {
	var e []Entry
	return e, c.do(ctx, http.MethodGet, "/policy", nil, &e)
}

// SetPolicy makes rules the policy, all at once; a function without one has no bias, so
// it does not wait for those that have one, and the kernel's own time slice (10 ms by
// sched_ext). The mode must be manual.
func (c *Client) SetPolicy(ctx context.Context, rules []Rule) error {
	return c.do(ctx, http.MethodPut, "/policy", rules, nil)
}

// SetMode switches what decides. The window and the map are cleared.
func (c *Client) SetMode(ctx context.Context, m Mode) error {
	return c.do(ctx, http.MethodPut, "/mode", m, nil)
}

// Register makes a cgroup (a path below /sys/fs/cgroup) a function.
func (c *Client) Register(ctx context.Context, f Function) error {
	return c.do(ctx, http.MethodPut, "/functions/"+url.PathEscape(f.UID), f, nil)
}

// Events calls ready once the stream is open, then f for every invocation that
// finishes, until ctx or the daemon ends.
func (c *Client) Events(ctx context.Context, ready func(), f func(Event)) error {
	return c.stream(ctx, "/events", ready, f)
}

// EventsSince begins with the events after the one with readNS, as far back as the
// daemon knows, so that a reader can go on after the daemon's restart. It goes by ReadNS
// because events are not in the order of their ends: a busy period is told up to 50 ms late.
func (c *Client) EventsSince(ctx context.Context, readNS uint64, f func(Event)) error {
	return c.stream(ctx, fmt.Sprintf("/events?since=%d", readNS), func() {}, f)
}

func (c *Client) stream(ctx context.Context, path string, ready func(), f func(Event)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://alps"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon for events: %w", err)
	}
	defer resp.Body.Close()
	if err := refusal(resp, http.MethodGet, path); err != nil {
		return err
	}
	ready()
	for dec := json.NewDecoder(resp.Body); ; {
		var e Event
		err := dec.Decode(&e)
		switch {
		case err == nil:
			f(e)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("read the daemon's events: %w: the daemon ended the stream", io.ErrUnexpectedEOF)
		default:
			return fmt.Errorf("read the daemon's events: %w", err)
		}
	}
}

// refusal is the text with which the daemon refuses a request; nil if it does not.
func refusal(resp *http.Response, method, path string) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return fmt.Errorf("daemon: %s %s: %s", method, path, cmp.Or(strings.TrimSpace(string(data)), resp.Status))
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://alps"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer resp.Body.Close()
	if err := refusal(resp, method, path); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
