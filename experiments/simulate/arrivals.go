// SPDX-License-Identifier: Apache-2.0

// Package simulate simulates workloads: it turns a workload, a load and a
// seed into invocations for alps/sim, and the simulator's outcomes into results. It
// also makes the tables of engine host.
//
// Trace, mix and arithmetic of the load are those of the runs in a guest; only here
// CPU times are drawn, too. No simulated run depends on the clock: the same inputs and
// the same simulator give the same bytes.
package simulate

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/alps/sim"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/digest"
)

// Arrivals are the invocations of a run, the same for all schedulers.
type Arrivals struct {
	Workload string
	Load     float64 // CPU time demanded / CPU time of the cores, as asked for
	Cores    int
	Seed     uint64

	Functions   []sim.Function
	Invocations []sim.Invocation
	Span        time.Duration // that the arrivals cover

	classes []trace.Class
	rows    []trace.Row

	once   sync.Once // of sum, which several jobs may call at the same time
	digest string
	err    error
}

// NewArrivals draws n invocations of a workload. They come over so much time that their
// CPU time is load × cores of it, times the workload's load factor.
func NewArrivals(w config.Workload, load float64, cores, n int, seed uint64) *Arrivals {
	arrivals := &Arrivals{Workload: w.Name.V, Load: load, Cores: cores, Seed: seed, classes: w.TraceClasses(), rows: w.Draw(n, seed)}
	function := make([]int, len(arrivals.classes)) // class → index
	index := map[string]int{}                      // UID → index
	for i, c := range arrivals.classes {
		f, known := index[c.UID]
		if !known {
			f = len(arrivals.Functions)
			index[c.UID] = f
			arrivals.Functions = append(arrivals.Functions, sim.Function{Name: c.Function, UID: c.UID})
		}
		function[i] = f
	}
	demand := w.Demands(arrivals.rows, seed)
	due := trace.Scale(arrivals.rows, demand, load*cmp.Or(w.LoadFactor.V, 1), cores)
	arrivals.Span = trace.Span(due)
	arrivals.Invocations = make([]sim.Invocation, n)
	for i, r := range arrivals.rows {
		arrivals.Invocations[i] = sim.Invocation{Function: function[r.Class], Arrive: due[i], CPU: demand[i]}
	}
	return arrivals
}

// sum is the digest of everything the arrivals are made of, classes' names and groups included.
func (w *Arrivals) sum() (string, error) {
	w.once.Do(func() {
		var b strings.Builder
		var row [4]int64
		for i, inv := range w.Invocations {
			row = [4]int64{int64(w.rows[i].Class), int64(inv.Function), int64(inv.Arrive), int64(inv.CPU)}
			if w.err = binary.Write(&b, binary.LittleEndian, row[:]); w.err != nil {
				return
			}
		}
		w.digest, w.err = digest.New("work/1").Str("workload", w.Workload).Str("classes", fmt.Sprintf("%+v", w.classes)).
			Str("invocations", b.String()).Sum()
	})
	return w.digest, w.err
}
