// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// lines is a log that one goroutine may read while others write to it.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// While a start takes long, a line of the log names the function, with the last lines of
// its container.
func TestSlowStartIsNamed(t *testing.T) {
	c := oltest.Config(t)
	t.Setenv("DOCKER_HOST", oltest.StartDocker(t).Host())
	var log lines
	d, err := docker.New(oltest.Parsed(t, c), slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	// On a busy host the start may count as slow before the handler has printed anything: then
	// the test tries again with four times as long.
	for slow := time.Second; ; slow *= 4 {
		restore := docker.SetSlowStart(slow)
		code, host := t.TempDir(), oltest.ShortDir(t)
		more := filepath.Join(code, "more")
		require.NoError(t, os.WriteFile(filepath.Join(code, "f.py"), fmt.Appendf(nil, `import os, time
print("loading the model", flush=True)
while not os.path.exists(%q): time.sleep(0.01)
f = lambda event: event
`, more), 0o644))
		type result struct {
			sb  sandbox.Sandbox
			err error
		}
		started := make(chan result, 1)
		go func() {
			sb, err := d.Start(t.Context(), sandbox.Spec{Function: config.Function{Name: "graphMst", UID: "9"}, CodeDir: code, HostDir: host})
			started <- result{sb, err}
		}()
		oltest.Eventually(t, func() bool { return strings.Count(log.String(), "sandbox is slow to start") > 0 }, "a line about it")
		require.NoError(t, os.WriteFile(more, nil, 0o644))
		r := <-started
		restore()
		require.NoError(t, r.err)
		require.NoError(t, r.sb.Destroy(t.Context()))
		if strings.Contains(log.String(), "loading the model") || slow > 10*time.Second {
			break
		}
		log = lines{}
	}
	require.Regexp(t, `level=WARN msg="sandbox is slow to start" function=graphMst uid=9 sandbox=\w+ after=\S+ said=".*loading the model"`, log.String())
}
