// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/internal/pagetest"
	"github.com/ds2-lab/alps/vm"
)

// importHandler uses ms milliseconds of CPU time, and returns what two clocks say, in ns.
const importHandler = `import time
def f(ms):
    end = time.thread_time_ns() + ms * 1000000
    while time.thread_time_ns() < end: pass
    return [time.time_ns(), time.monotonic_ns()]
`

// served is one request of the worker's log.
type served struct {
	from, to int64 // ns of CLOCK_MONOTONIC, a millisecond too wide at both ends
}

// What docs/observer.md says of requests to a process that lives on.
const (
	leastMatchedPct = 95 // matched one to one
	mostApartPct    = 5  // their CPU time from the cgroup's
)

// docs/observer.md says the same.
func TestPageSaysHowManyRequestsAreMatched(t *testing.T) {
	pagetest.Says(t, "docs/observer.md", fmt.Sprintf("at least %d %% matched one to one, their CPU time within %d %% of the cgroup's", leastMatchedPct, mostApartPct))
}

// A worker with the defaults of ol init runs handlers in a process that lives on. A
// daemon with the defaults of alps run sees each request of the worker's log as one
// invocation, with its CPU time.
func TestGuestImportIsObserved(t *testing.T) {
	t.Parallel()
	p, err := guestArtifacts(t).InVirtualTime(t.Context())
	require.NoError(t, err)
	p.CPUs = 2
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the guest froze or is far too slow"))
	defer cancel()
	m, err := vm.Start(ctx, p.VMConfig())
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.WaitDocker(ctx, 3*time.Minute))
	sh := func(line string) string {
		out, err := m.Output(ctx, line)
		require.NoError(t, err, line)
		return out
	}
	const n = 100
	require.NoError(t, m.Run(ctx, vm.Cmd{Line: "ol init -p /tmp/w && mkdir /tmp/w/registry/f && cat > /tmp/w/registry/f/f.py", Stdin: strings.NewReader(importHandler)}))
	sh("systemd-run --quiet --collect --unit=alps alps run -policy cfs")
	sh("systemd-run --quiet --collect --unit=worker -E PATH sh -c 'exec ol worker -p /tmp/w -o trace.latency=true >/tmp/worker.log 2>&1'")
	sh("for i in $(seq 100); do curl -s -X POST localhost:5000/run/f -d 1 && break; sleep 0.3; done")
	sh("for i in $(seq 100); do alps status | grep 'invocations: busy' && break; sleep 0.3; done")
	// A second without requests would pause the container.
	out := sh(fmt.Sprintf(`systemd-run --quiet --collect --unit=events sh -c 'exec curl -sN --unix-socket /run/alps.sock http://alps/events >/tmp/events'
		u=/sys/fs/cgroup/alps.slice/docker-*.scope/cpu.stat; sleep 0.2
		grep usage $u; wc -l </tmp/worker.log
		for i in $(seq %d); do curl -s -X POST localhost:5000/run/f -d $((5 + i %% 20)); echo; sleep 0.0$((2 + i %% 5)); done
		sleep 0.2; grep usage $u`, n))
	lines := strings.Split(out, "\n")
	require.Len(t, lines, n+3, "%s", out)
	usage := func(line string) (d time.Duration) {
		us, err := strconv.ParseInt(strings.TrimPrefix(line, "usage_usec "), 10, 64)
		require.NoError(t, err)
		return time.Duration(us) * time.Microsecond
	}
	used := usage(lines[n+2]) - usage(lines[0])
	var clocks [2]int64
	require.NoError(t, json.Unmarshal([]byte(lines[2]), &clocks), lines[2])

	var requests []served
	skip, err := strconv.Atoi(lines[1])
	require.NoError(t, err)
	entry := regexp.MustCompile(`^time=(\S+) .*stage=ServeHTTP\S* ms=(\d+)`)
	for _, line := range strings.Split(sh("cat /tmp/worker.log"), "\n")[skip:] {
		if f := entry.FindStringSubmatch(line); f != nil {
			at, err := time.Parse(time.RFC3339, f[1])
			require.NoError(t, err)
			ms, err := strconv.Atoi(f[2])
			require.NoError(t, err)
			to := at.UnixNano() - clocks[0] + clocks[1]
			requests = append(requests, served{to - int64(ms+1)*1e6 - 1e6, to + 1e6})
		}
	}
	require.Len(t, requests, n)
	var events []alpsclient.Event
	dec := json.NewDecoder(strings.NewReader(sh("cat /tmp/events")))
	for dec.More() {
		var e alpsclient.Event
		require.NoError(t, dec.Decode(&e))
		events = append(events, e)
	}
	matched, own := 0, time.Duration(0)
	for i, r := range requests {
		var in []time.Duration
		for _, e := range events {
			require.True(t, e.Busy)
			if at := int64(e.ArriveNS); at >= r.from && at <= r.to {
				in = append(in, time.Duration(e.CPUNS))
			}
		}
		if len(in) != 1 || int64(in[0]) < int64(5+(i+1)%20)*1e6 {
			t.Logf("request %d, %d ms: invocations of %s", i+1, 5+(i+1)%20, in)
			for _, e := range events {
				if since := func(ns uint64) time.Duration { return time.Duration(int64(ns) - r.from) }; int64(e.EndNS) >= r.from && int64(e.ArriveNS) <= r.to {
					t.Logf("\twoken %s, on a CPU %s, asleep %s after the request's earliest begin, %s before its latest end: CPU %s, waited %s, %d switches, %d threads",
						since(e.ArriveNS), since(e.StartNS), since(e.EndNS), time.Duration(r.to-int64(e.EndNS)), time.Duration(e.CPUNS), time.Duration(e.WaitNS), e.SwitchesVol, e.Tasks)
				}
			}
			continue
		}
		matched++
		own += in[0]
	}
	t.Logf("%s: %d of %d requests are one invocation each, of %d; their CPU time %s, the cgroup's %s", sh("uname -r"), matched, n, len(events), own, used)
	require.GreaterOrEqual(t, matched, n*leastMatchedPct/100)
	require.InEpsilon(t, float64(used), float64(own)*n/float64(matched), mostApartPct/100.0)
	require.Contains(t, sh("alps status"), "invocations: busy")
}
