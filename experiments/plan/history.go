// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/vm"
)

// Kinds of samples.
const (
	// SimulatedKind is the time of an invocation in a simulated run.
	SimulatedKind = "simulated invocation"
)

// SetUpKind is the kind of a guest's start: boot, functions and calibration.
func SetUpKind(a vm.Accel) string { return "set-up " + string(a) }

// factorKind is the kind of factors by which runs took longer than estimated.
func factorKind(a vm.Accel) string { return "factor " + string(a) }

// samplesKept is how many samples of a kind are kept. Estimates take their median, so
// that one that was taken while the host was busy does not count.
const samplesKept = 7

// History is how long kinds of steps took on this host. Its methods may be
// called by several goroutines.
type History struct {
	path string

	mu      sync.Mutex
	samples map[string][]float64 // seconds, or factors; the newest last
}

// OpenHistory reads the history in the cache. A file that cannot be read counts
// as an empty one.
func OpenHistory() *History {
	h := &History{samples: map[string][]float64{}}
	dir, err := cache.Dir("history")
	if err != nil {
		return h
	}
	h.path = filepath.Join(dir, "samples.json")
	if data, err := os.ReadFile(h.path); err == nil {
		_ = json.Unmarshal(data, &h.samples)
	}
	return h
}

// Get is the median of how long steps of the kind took; ok says whether any was
// measured.
func (h *History) Get(kind string) (took time.Duration, ok bool) {
	s, ok := h.median(kind)
	return time.Duration(s * float64(time.Second)), ok
}

func (h *History) median(kind string) (float64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := slices.Sorted(slices.Values(h.samples[kind]))
	if len(s) == 0 {
		return 0, false
	}
	return s[len(s)/2], true
}

// Put remembers how long a step took.
func (h *History) Put(kind string, took time.Duration) { h.put(kind, took.Seconds()) }

// put adds a sample. One that cannot be written costs an estimate, no more, so
// errors are dropped.
func (h *History) put(kind string, sample float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := append(h.samples[kind], sample)
	h.samples[kind] = s[max(0, len(s)-samplesKept):]
	if data, err := json.MarshalIndent(h.samples, "", "\t"); err == nil && h.path != "" {
		_ = atomicfile.Write(h.path, data, 0o644)
	}
}

// PutRun remembers how long a run took: in virtual time the host's CPU time, else the
// time that passed.
func (h *History) PutRun(r *Run, accel vm.Accel, cpus int, took time.Duration) {
	h.Put(r.Kind(accel, cpus), took)
	h.put(factorKind(accel), took.Seconds()/r.estimate(accel, cpus).Seconds())
}
