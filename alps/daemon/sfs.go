// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

// sfsEntry is what the backend is told of every function under SFS. ok is false
// until two arrivals are known.
func sfsEntry(records []policy.Record, cpus int) (e model.Entry, ok bool) {
	s, ok := model.NewSFS(records, cpus, 1)
	return model.Entry{Bias: s.Fresh, Slice: s.Slice, LateBias: s.Late}, ok
}
