// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/loadgen"
)

// span is how long the burst's requests come for.
const span = 6 * time.Second

// class is requests for one function.
type class struct {
	name          string // in the table
	function, uid string
	port          string
	requests      int
	cpu           time.Duration // of each
	first         time.Duration // when the first is due; the others follow at equal gaps until span
}

// classes ask for half as much again as the CPU can do within span: most
// requests are short, and most of the CPU time is that of a few long ones, as in
// the traces of the paper.
var classes = []class{
	{name: "short", function: "fib", uid: "3", port: "5002", requests: 60, cpu: 40 * time.Millisecond},
	{name: "medium", function: "floatOperation", uid: "20", port: "5020", requests: 12, cpu: 150 * time.Millisecond, first: 130 * time.Millisecond},
	{name: "long", function: "fib", uid: "21", port: "5021", requests: 3, cpu: 1600 * time.Millisecond, first: 300 * time.Millisecond},
}

// ports are those of the functions that are asked for.
func ports() []string {
	var list []string
	for _, c := range classes {
		list = append(list, c.port)
	}
	return list
}

// burst returns the requests, in the order in which they are due, and the CPU time
// that they need by the costs. A function without costs is an error.
func burst(costs guest.Costs) (reqs []loadgen.Request, demand time.Duration, err error) {
	for i, c := range classes {
		cost, ok := costs[c.function]
		if !ok {
			return nil, 0, fmt.Errorf("function %s was not calibrated", c.function)
		}
		rounds := cost.Rounds(c.cpu)
		for j := range c.requests {
			due := c.first + time.Duration(j)*(span-c.first)/time.Duration(c.requests)
			reqs = append(reqs, loadgen.Request{Function: c.function, UID: c.uid, Group: group(i), N: 1, Port: c.port,
				Size: cost.Size, Rounds: rounds, Due: due})
			demand += cost.CPU(rounds)
		}
	}
	slices.SortStableFunc(reqs, func(a, b loadgen.Request) int { return cmp.Compare(a.Due, b.Due) })
	for i := range reqs {
		reqs[i].ID = i + 1
	}
	return reqs, demand, nil
}

// group is the name that invocations of classes[i] have in results.
func group(i int) string { return fmt.Sprintf("G%d", i+1) }
