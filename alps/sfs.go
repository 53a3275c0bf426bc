package alps

import (
	"time"

	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// sfsEntry is SFS (Fu et al., SC 2022) in terms of the hooks: every invocation
// has one slice, the mean time between arrivals at one of the CPUs; functions
// with an invocation that has not used it go in the order of their arrival, the
// others after them, as under CFS. ok is false until two arrivals are known.
func sfsEntry(records []policy.Record, cpus int) (e bpf.Entry, ok bool) {
	if len(records) < 2 {
		return bpf.Entry{}, false
	}
	first, last := records[0].Arrive, records[0].Arrive
	for _, r := range records {
		first, last = min(first, r.Arrive), max(last, r.Arrive)
	}
	slice := time.Duration(last-first) / time.Duration(len(records)-1) * time.Duration(cpus)
	slice = min(max(slice, time.Millisecond), bpf.MaxSlice)
	return bpf.Entry{BiasUS: 1, SliceUS: micros(slice), LateBiasUS: micros(strictStep)}, true
}
