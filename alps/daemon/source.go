// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
)

const (
	// sourceEvery is how often the daemon looks at functions with the source auto, to
	// find out what their invocations are.
	sourceEvery = 5 * time.Second
	// silentLooks is at how many looks such a function must have used the CPU, while no
	// invocation ended, for its busy periods to count. It is more than one because a
	// server that starts uses the CPU for a while, too.
	silentLooks = 3
	// requestCPU is the least CPU time of a busy period that counts where the number
	// of a function's busy periods is compared with that of its forks.
	requestCPU = time.Millisecond
)

// Bounds of client.Function.Idle.
const (
	minIdle = 50 * time.Microsecond
	maxIdle = 10 * time.Second
)

// CheckSource refuses a word that is no source; "" is one, the daemon's default.
func CheckSource(s string) error {
	switch s {
	case "", client.SourceProcess, client.SourceBusy, client.SourceAuto:
		return nil
	}
	return fmt.Errorf("source %q: want %s, %s or %s", s, client.SourceProcess, client.SourceBusy, client.SourceAuto)
}

// checkSource says what is wrong with what f says of its invocations.
func checkSource(f client.Function) error {
	if err := CheckSource(f.Source); err != nil {
		return err
	}
	if f.Concurrency < 0 {
		return errors.New("concurrency: want a number from 1")
	}
	if f.Idle == "" {
		return nil
	}
	if idle, err := time.ParseDuration(f.Idle); err != nil || idle < minIdle || idle > maxIdle {
		return fmt.Errorf("idle %q: want a duration from %s to %s, such as 1ms", f.Idle, minIdle, maxIdle)
	}
	return nil
}

// kernelFunction is f for the observer; busy says what the source auto comes to.
func (d *daemon) kernelFunction(f client.Function, busy bool) bpf.Function {
	k := bpf.Function{ID: bpf.CgroupID(f.ID), UID: f.UID, Name: f.Name, Cgroup: f.Cgroup, Note: noteOf(f)}
	switch d.source(f) {
	case client.SourceProcess:
		return k
	case client.SourceAuto:
		if !busy {
			return k
		}
	}
	k.Source = bpf.SourceBusy
	if f.Concurrency > 1 {
		k.Source = bpf.SourceThreads
	}
	k.Idle, _ = time.ParseDuration(f.Idle) // checked; "" is 0
	return k
}

// source is what f asks for.
func (d *daemon) source(f client.Function) string {
	return cmp.Or(f.Source, d.config.Source, client.SourceAuto)
}

// asked is what is asked for a function, for a daemon that resumes: what this comes to
// may be something else, and may change.
type asked struct {
	Source      string `json:"source,omitempty"`
	Concurrency int    `json:"concurrency,omitempty"`
	Idle        string `json:"idle,omitempty"`
}

func noteOf(f client.Function) string {
	text, err := json.Marshal(asked{f.Source, f.Concurrency, f.Idle})
	if err != nil {
		panic(err) // strings and a number
	}
	return string(text)
}

// resumedFunction is what the kernel knows of a function, with what was asked for it. Of a
// function without a note only what that came to is known.
func resumedFunction(k bpf.Function) client.Function {
	f := client.Function{UID: k.UID, Name: k.Name, Cgroup: k.Cgroup, ID: uint64(k.ID)}
	var a asked
	if json.Unmarshal([]byte(k.Note), &a) == nil {
		f.Source, f.Concurrency, f.Idle = a.Source, a.Concurrency, a.Idle
		return f
	}
	if k.Source == bpf.SourceProcess {
		return f
	}
	f.Source, f.Idle = client.SourceBusy, k.Idle.String()
	if k.Source == bpf.SourceThreads {
		f.Concurrency = 2
	}
	return f
}

// account is what the daemon has seen of a function whose source is auto.
type account struct {
	busy      bool          // its busy periods count
	looked    bool          // the next two are of the last look
	used      time.Duration // CPU time
	forks     uint32        // while busy periods count
	silent    int           // looks at which it had used the CPU without an invocation
	processes int           // since the last look: invocations that ended
	periods   int           // and busy periods with requestCPU or more
}

// saw notes an invocation. The caller holds mu.
func (a *account) saw(e bpf.Event) {
	switch {
	case !e.Busy:
		a.processes++
	case e.CPU >= requestCPU:
		a.periods++
	}
}

// look takes what a function has used and forked until now, and says whether its source
// should be the other one. The caller finds out whether an invocation is under way.
func (a *account) look(used time.Duration, forks uint32) (change bool) {
	before := *a
	a.processes, a.periods, a.used, a.forks, a.looked = 0, 0, used, forks, true
	switch {
	case !before.looked:
		return false
	case a.busy:
		n := int(int32(forks - before.forks)) // below 0: the kernel's function is another than before
		return n > 0 && 2*n >= before.periods
	case before.processes > 0:
		a.silent = 0
	case used-before.used > time.Duration(silentShare*float64(sourceEvery)):
		a.silent++
	}
	return a.silent >= silentLooks
}

// chooseSources goes on until ctx ends.
func (d *daemon) chooseSources(ctx context.Context) error {
	tick := time.NewTicker(sourceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := d.lookAtSources(); err != nil {
			d.log.Error("choose what an invocation is", "err", err)
		}
	}
}

// lookAtSources decides for functions with the source auto whether processes or
// busy periods are their invocations.
func (d *daemon) lookAtSources() error {
	functions := d.known()
	used := map[bpf.CgroupID]time.Duration{}
	for id, f := range functions {
		if n, err := d.host.Usage(f.Cgroup); err == nil && d.source(f) == client.SourceAuto {
			used[id] = n
		}
	}
	if len(used) == 0 {
		return nil
	}
	forks, err := d.observer.Forks()
	if err != nil {
		return err
	}
	var changed []bpf.CgroupID
	d.mu.Lock()
	for id := range d.accounts {
		if _, ok := used[id]; !ok {
			delete(d.accounts, id)
		}
	}
	for id, n := range used {
		a := d.accountOf(id)
		if a.look(n, forks[id]) {
			changed = append(changed, id)
		}
	}
	d.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	survey, err := d.observer.Sweep()
	if err != nil {
		return err
	}
	d.ops.Lock()
	defer d.ops.Unlock()
	before, log := map[bpf.CgroupID]account{}, []func(){}
	d.mu.Lock()
	for _, id := range changed {
		a := d.accountOf(id)
		if !a.busy && survey.Running[id] > survey.Workers[id] { // a long one is under way
			continue
		}
		before[id] = *a
		*a = account{busy: !a.busy}
		what, why, f := "its processes count as invocations", "it forks them", functions[id]
		if a.busy {
			what, why = "its busy periods count as invocations", "it uses the CPU without a process per invocation"
		}
		log = append(log, func() { d.log.Info(what, "uid", f.UID, "name", f.Name, "why", why) })
	}
	d.mu.Unlock()
	err = d.setFunctions(d.known())
	if err != nil { // the next look tries again
		d.mu.Lock()
		for id, a := range before {
			*d.accountOf(id) = a
		}
		d.mu.Unlock()
		return errors.Join(err, d.setFunctions(d.known()))
	}
	for _, say := range log {
		say()
	}
	return nil
}

// accountOf is a function's account. The caller holds mu.
func (d *daemon) accountOf(id bpf.CgroupID) *account {
	a := d.accounts[id]
	if a == nil {
		a = &account{}
		d.accounts[id] = a
	}
	return a
}
