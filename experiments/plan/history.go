// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/vm"
)

// SimulatedKind is the kind of an invocation in a simulated run.
const SimulatedKind = "simulated invocation"

// SetUpKind is the kind of a guest's start: boot, functions and calibration.
func SetUpKind(a vm.Accel) string { return "set-up " + string(a) }

// History is how long kinds of steps took on this host the last time. Its
// methods may be called by several goroutines.
type History struct {
	path string

	mu   sync.Mutex
	took map[string]time.Duration
}

// OpenHistory reads the history in the cache. A file that cannot be read counts
// as an empty one.
func OpenHistory() *History {
	h := &History{took: map[string]time.Duration{}}
	dir, err := cache.Dir("history")
	if err != nil {
		return h
	}
	h.path = filepath.Join(dir, "steps.json")
	if data, err := os.ReadFile(h.path); err == nil {
		_ = json.Unmarshal(data, &h.took)
	}
	return h
}

// Get is how long a step of the kind took; ok says whether one was measured.
func (h *History) Get(kind string) (took time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	took, ok = h.took[kind]
	return took, ok
}

// Put remembers how long a step took. A time that cannot be written costs an
// estimate, no more, so errors are dropped.
func (h *History) Put(kind string, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took[kind] = took
	if data, err := json.MarshalIndent(h.took, "", "\t"); err == nil && h.path != "" {
		_ = atomicfile.Write(h.path, data, 0o644)
	}
}
