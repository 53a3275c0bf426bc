package daemon

import (
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// sfsEntry is what the kernel is told of every function under SFS. ok is false
// until two arrivals are known.
func sfsEntry(records []policy.Record, cpus int) (e bpf.Entry, ok bool) {
	s, ok := model.NewSFS(records, cpus, 1)
	return bpf.Entry{BiasUS: micros(s.Fresh), SliceUS: micros(s.Slice), LateBiasUS: micros(s.Late)}, ok
}
