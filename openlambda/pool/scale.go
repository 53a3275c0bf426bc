// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"slices"
	"time"
)

// scaleEvery is how often a function's instances become one more or one less.
const scaleEvery = time.Second

// retryMost bounds the wait after failed starts. A first instance for a waiting request has no such wait.
const retryMost = 30 * time.Second

// refusedFor is how long after the image refused a function no container is started to ask again.
const refusedFor = 10 * time.Second

// shortLife: a sandbox that dies sooner counts as a failed start.
const shortLife = 5 * time.Second

// coming is how many slots the instances that start will have for waiting requests.
func (f *Function) coming() int {
	n := 0
	for _, in := range f.instances {
		if in.SB == nil {
			n++
		}
	}
	if len(f.instances) == 0 {
		n = 1 // the next request that waits starts one
	}
	return n * f.slots()
}

// desired is how many instances there should be: as OpenLambda, one for each second that
// one instance would need for the outstanding requests, but no more than could be busy.
func (f *Function) desired() int {
	outstanding := f.waiting.Len()
	for _, in := range f.instances {
		outstanding += in.inflight
	}
	n := int(float64(outstanding) * f.avg.mean().Seconds() / float64(min(f.slots(), max(1, outstanding))))
	busy := (outstanding + f.slots() - 1) / f.slots()
	n = min(n, busy)
	if outstanding > 0 || len(f.instances) > 0 {
		n = max(n, 1)
	}
	n = max(n, f.min)
	if m := f.p.config.Instances.Max; m > 0 {
		n = min(n, max(m, 1))
	}
	return n
}

// scale starts or retires one instance if desired is another number, now or by a timer.
// request is the id of the request that asks for it, "" if none does. The caller holds mu.
func (f *Function) scale(request string) {
	if f.closed || f.code == nil || f.refused != nil {
		return
	}
	have, want := len(f.instances), f.desired()
	if have == want {
		return
	}
	wait := scaleEvery - time.Since(f.scaled)
	// A first instance for a waiting request starts at once, and so does one of instances.min unless starts fail.
	if urgent := have == 0 && f.waiting.Len() > 0; urgent || have < f.min && f.failures == 0 {
		wait = 0
	} else if f.failures > 0 {
		pause := min(retryMost, scaleEvery<<min(f.failures-1, 10))
		wait = max(wait, pause-time.Since(f.failed))
	}
	if wait <= 0 {
		f.scaled = time.Now()
		if have < want {
			f.start(request)
		} else if in := f.spare(); in != nil {
			f.retire(in)
		}
		wait = scaleEvery
	}
	if len(f.instances) == f.desired() {
		return
	}
	if f.timer == nil {
		f.timer = time.AfterFunc(wait, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.scale("")
		})
	} else {
		f.timer.Reset(wait)
	}
}

// spare is the youngest instance that has nothing to do.
func (f *Function) spare() *Instance {
	for _, in := range slices.Backward(f.instances) {
		if in.SB != nil && in.inflight == 0 {
			return in
		}
	}
	return nil
}

// rolling is the mean of the last ten durations.
type rolling struct {
	last [10]time.Duration
	n    int
}

func (r *rolling) add(d time.Duration) {
	r.last[r.n%len(r.last)] = d
	r.n++
}

func (r *rolling) mean() time.Duration {
	if r.n == 0 {
		return 0
	}
	var sum time.Duration
	for _, d := range r.last {
		sum += d
	}
	return sum / time.Duration(min(r.n, len(r.last)))
}

// Took records how long an instance needed for a request.
func (f *Function) Took(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.avg.add(d)
}
