// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"context"
	"fmt"
	"slices"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
)

// Unit is, by function, the argument with which one round is so short that a number
// of rounds comes near any CPU time: CPU time = Base + Rounds × PerRound.
var Unit = map[string]int{
	"fib": 14, "graphBfs": 100, "graphMst": 6, "graphPagerank": 6, "featureExtractor": 1, "floatOperation": 1000,
}

// Cost is the CPU time of a function's invocation in this guest.
type Cost struct {
	Function string        `json:"function"`
	Size     int           `json:"size"`    // argument with which it computes one round
	Base     time.Duration `json:"base_ns"` // fork, request, answer, exit
	PerRound time.Duration `json:"per_round_ns"`
}

// CPU is the expected CPU time of an invocation.
func (c Cost) CPU(rounds int) time.Duration { return c.Base + time.Duration(rounds)*c.PerRound }

// Rounds is how many rounds come nearest to target, at least 1.
func (c Cost) Rounds(target time.Duration) int {
	return max(1, int((target-c.Base+c.PerRound/2)/c.PerRound))
}

const (
	// calibrationSpan is about the CPU time of the longer invocation that is measured.
	calibrationSpan = 200 * time.Millisecond
	calibrationRuns = 3
	// mostRounds is up to how many rounds are tried to see what a round takes. A round
	// of 24 ns would be seen.
	mostRounds = 1 << 20
)

// Calibrate measures one function, alone and under plain CFS: the median CPU
// time at one round and at as many as take about calibrationSpan.
func (r *Replayer) Calibrate(ctx context.Context, function, uid, port string) (Cost, error) {
	size, ok := Unit[function]
	if !ok {
		return Cost{}, fmt.Errorf("calibrate: function %s has no unit", function)
	}
	median := func(rounds, runs int) (time.Duration, error) {
		var cpu []int64
		reqs := make([]Request, runs)
		for i := range reqs {
			reqs[i] = Request{ID: i + 1, Function: function, UID: uid, Port: port, Size: size, Rounds: rounds}
		}
		// One by one: each waits for the one before.
		for _, q := range reqs {
			out, err := r.Replay(ctx, alpsclient.Mode{Policy: "cfs"}, []Request{q})
			if err != nil {
				return 0, fmt.Errorf("calibrate %s: %w", function, err)
			}
			if out.Failed > 0 {
				return 0, fmt.Errorf("calibrate %s: %s", function, out.Errors[0])
			}
			cpu = append(cpu, out.Invocations[0].CPUNS)
		}
		slices.Sort(cpu)
		return time.Duration(cpu[len(cpu)/2]), nil
	}
	return calibrate(Cost{Function: function, Size: size}, median)
}

// calibrate fills in Base and PerRound of c. median measures the CPU time of an
// invocation with so many rounds: the median of so many runs.
func calibrate(c Cost, median func(rounds, runs int) (time.Duration, error)) (Cost, error) {
	one, err := median(1, calibrationRuns)
	if err != nil {
		return Cost{}, err
	}
	// Find roughly how long a round takes.
	rounds := 1
	var guess time.Duration
	for guess < calibrationSpan/8 {
		if rounds >= mostRounds {
			return Cost{}, fmt.Errorf("calibrate %s: %d rounds took %s, one took %s: the function ignores how many rounds it is asked for", c.Function, rounds, one+guess, one)
		}
		rounds *= 4
		total, err := median(rounds, 1)
		if err != nil {
			return Cost{}, err
		}
		guess = total - one
	}
	rounds = max(rounds+1, int(int64(rounds)*int64(calibrationSpan)/int64(guess)))
	many, err := median(rounds, calibrationRuns)
	if err != nil {
		return Cost{}, err
	}
	c.PerRound = (many - one) / time.Duration(rounds-1)
	c.Base = one - c.PerRound
	if c.PerRound <= 0 {
		return Cost{}, fmt.Errorf("calibrate %s: %d rounds took %s, one took %s", c.Function, rounds, many, one)
	}
	return c, nil
}
