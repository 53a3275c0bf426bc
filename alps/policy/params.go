// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ds2-lab/alps/internal/clock"
)

// Params are the knobs of the policy. Begin with Paper or Artifact and change
// what you mean to change; the zero Params is not valid. docs/policy.md says
// where each comes from.
type Params struct {
	// Alpha and Beta tune for unpredictability: a slice is
	// max(Alpha × learnt − Beta × stdev, 0).
	Alpha, Beta float64
	// Gamma and Theta tune for overload: from a CPU utilisation l of Theta percent on,
	// slices are multiplied by (100 + Theta − l) / (100 × Gamma), at most by 1.
	Gamma, Theta float64

	Unpredictability bool // apply Alpha, Beta
	Overload         bool // apply Gamma, Theta

	Learner    Learner
	EWMAWeight float64 // of the newest on-CPU segment, in (0, 1]

	Window  time.Duration // records that ended within it count; 0 means all the caller has
	Period  time.Duration // how often to update; 0 means Window
	Records int           // of the window, or of its sample, only so many, the newest: see NewWindow; 0 means no limit

	Share       Share         // how the records meet the simulated cores
	Granularity time.Duration // for so long a simulated on-CPU segment is not preempted; 0 is SRPT proper
	Seed        uint64        // of the deal onto cores, and of the forest

	// Remember keeps the learnt values of a function that has no record in the
	// window. Without it no decision is about the function: it has model.UnknownRank.
	Remember bool

	RankBy      RankBy
	MeanBurst   bool          // simulate each record with its function's mean CPU time
	BurstFactor float64       // × CPU time = simulated burst
	SliceCap    time.Duration // on Alpha × learnt; 0 means none
	Monotone    bool          // in order of rank, no slice above the one before, unless that is 0
	Smoothing   float64       // weight of the function's former slice, in [0, 1)
}

// RankBy says what ranks follow.
type RankBy uint8

const (
	ByWait  RankBy = iota // mean waiting time under SRPT, as the paper says
	BySlice               // learnt slice, as the artifact does
)

// Share says how the records of a host with several cores meet the
// simulated cores.
type Share uint8

const (
	// ShareDeal deals the records at random onto the cores, which are simulated
	// apart from each other: one core's share of the load, and every record counts.
	ShareDeal Share = iota
	// ShareSample is the first core of such a deal: 1/cores of the records.
	ShareSample
	// ShareGlobal lets all cores serve one queue: no preemption while any idles.
	ShareGlobal
)

// Paper is the policy as the paper describes it, with its defaults.
func Paper() Params {
	return Params{
		Alpha: 2, Beta: 1, Gamma: 1, Theta: 50,
		Unpredictability: true, Overload: true,
		Learner: Average, EWMAWeight: 0.2,
		Window: 5 * time.Second, Seed: 1, Remember: true,
		BurstFactor: 1,
	}
}

// Artifact is the policy of the paper's public artifact, where it runs as
// meant. docs/policy.md lists what it departs in, and what is not followed.
func Artifact() Params {
	p := Paper()
	p.Alpha = 1
	p.Window, p.Period, p.Records = 0, 12*time.Second, 100
	p.Share, p.Granularity = ShareSample, 8*time.Millisecond
	p.RankBy, p.MeanBurst, p.BurstFactor = BySlice, true, 0.69
	p.SliceCap, p.Monotone, p.Smoothing = 200*time.Millisecond, true, 0.3
	return p
}

// Like is Paper or Artifact, by name.
func Like(name string) (Params, error) {
	switch name {
	case "paper":
		return Paper(), nil
	case "artifact":
		return Artifact(), nil
	}
	return Params{}, fmt.Errorf("like: %q is none of paper, artifact", name)
}

// NewWindow is a window that keeps the records that Update can use: of Records the
// newest by end, because nothing is known of an invocation before that. ShareSample uses
// those of one of cores only, so there the window keeps cores times as many. Of records
// that come from elsewhere and are more, Update uses the newest by arrival.
func (p Params) NewWindow(cores int) Window {
	w := Window{Length: p.Window, Limit: p.Records}
	if p.Share == ShareSample {
		w.Limit *= max(cores, 1)
	}
	if w.Limit == 0 || w.Limit > maxRecords {
		w.Limit = maxRecords
	}
	return w
}

// Every is how often to update.
func (p Params) Every() time.Duration {
	if p.Period > 0 {
		return p.Period
	}
	return p.Window
}

// Validate says what is wrong with p: every field at once.
func (p Params) Validate() error {
	var errs []error
	check := func(ok bool, name string, v any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("policy: %s: %v is outside %s", name, v, allowed))
		}
	}
	number := func(name string, v, lo, hi float64, openLo, openHi bool) {
		ok := v >= lo && v <= hi && !(openLo && v == lo) && !(openHi && v == hi) // false for NaN
		l, r := "[", "]"
		if openLo {
			l = "("
		}
		if openHi {
			r = ")"
		}
		check(ok, name, v, fmt.Sprintf("%s%v, %v%s", l, lo, hi, r))
	}
	number("alpha", p.Alpha, 0, maxFactor, true, false)
	number("beta", p.Beta, 0, maxFactor, false, false)
	number("gamma", p.Gamma, 0, maxFactor, true, false)
	number("theta", p.Theta, 0, 100, false, false)
	number("ewma_weight", p.EWMAWeight, 0, 1, true, false)
	number("burst_factor", p.BurstFactor, 0, maxFactor, true, false)
	number("smoothing", p.Smoothing, 0, 1, false, true)
	length := func(name string, d time.Duration) {
		check(d >= 0 && d <= maxLength, name, d, fmt.Sprintf("[0s, %v]", maxLength))
	}
	length("window", p.Window)
	length("period", p.Period)
	length("granularity", p.Granularity)
	length("slice_cap", p.SliceCap)
	check(p.Every() > 0, "period", p.Period, "(0s, ∞) while window is 0s")
	check(p.Records >= 0 && p.Records <= maxRecords, "records", p.Records, fmt.Sprintf("[0, %d]", maxRecords))
	check(int(p.Learner) < len(learnerNames), "learner", p.Learner, fmt.Sprint(learnerNames))
	check(int(p.RankBy) < len(rankByNames), "rank_by", p.RankBy, fmt.Sprint(rankByNames))
	check(int(p.Share) < len(shareNames), "share", p.Share, fmt.Sprint(shareNames))
	return errors.Join(errs...)
}

const (
	maxFactor  = 1000.0
	maxLength  = 24 * time.Hour
	maxRecords = 1_000_000
	// maxCPU and maxTime keep maxRecords records within int64 nanoseconds.
	maxCPU  = time.Hour
	maxTime = clock.KTime(math.MaxInt64 / 2)
)
