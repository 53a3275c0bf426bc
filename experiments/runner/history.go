package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
)

// history is how long kinds of steps took on this machine the last time.
type history struct {
	path string

	mu   sync.Mutex
	took map[string]time.Duration
}

// openHistory reads it; what cannot be read was never measured.
func openHistory() *history {
	h := &history{took: map[string]time.Duration{}}
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

func (h *history) get(kind string) (took time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	took, ok = h.took[kind]
	return took, ok
}

// put remembers one. A time that is lost costs an estimate, no more.
func (h *history) put(kind string, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took[kind] = took
	if data, err := json.MarshalIndent(h.took, "", "\t"); err == nil && h.path != "" {
		_ = atomicfile.Write(h.path, data, 0o644)
	}
}
