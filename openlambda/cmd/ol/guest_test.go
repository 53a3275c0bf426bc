// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/workdir"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
	"github.com/ds2-lab/alps/openlambda/client"
	"github.com/ds2-lab/alps/openlambda/config"
)

// inGuest skips a test that does not run in the guest, where there is Docker itself. The
// guest tests of experiments/guest run all tests named TestGuest… there.
func inGuest(t testing.TB) {
	ring.Need(t, ring.Docker, ring.Must(ring.Docker), "runs in the guest of the target test:guest")
}

// guestServe is a worker on Docker.
func guestServe(t testing.TB, change func(*config.Config)) *oltest.Serving {
	inGuest(t)
	c := oltest.Config(t)
	change(&c)
	p, err := docker.New(oltest.Parsed(t, c), oltest.Log())
	require.NoError(t, err)
	return oltest.Serve(t, c, p)
}

func shell(t testing.TB, line string) string {
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	require.NoError(t, err, "%s: %s", line, out)
	return strings.TrimSpace(string(out))
}

// containers are the ids of a worker's containers.
func containers(s *oltest.Serving) []string {
	return strings.Fields(shell(s.T, "docker ps -aq --no-trunc -f label="+docker.LabelCluster+"="+s.Config.WorkerDir))
}

const guestHandler = `import os, time
hoard = []
def f(event):
    if event == "memory": hoard.append(bytearray(200 << 20))
    if event == "processes":
        for _ in range(40):
            if os.fork() == 0:
                time.sleep(5)
                os._exit(0)
    if event == "sleep": time.sleep(60)
    return os.getpid()
`

// Labels, cgroup parent and limits reach Docker; a request that breaks a limit fails, and
// the next one is served.
func TestGuestContainer(t *testing.T) {
	s := guestServe(t, func(c *config.Config) {
		oltest.Handler(t, *c, "f", guestHandler)
		c.Limits = config.Limits{Procs: 12, MemMB: 64, MaxRuntimeDefault: 20}
		c.Functions = []config.Function{{Name: "f", UID: "7"}}
		c.Network = "none"
	})
	id := containers(s)[0]
	require.Equal(t, "7 f", shell(t, `docker inspect -f '{{index .Config.Labels "alps.function.uid"}} {{index .Config.Labels "alps.function.name"}}' `+id))
	group := "/sys/fs/cgroup/alps.slice/docker-" + id + ".scope"
	require.Equal(t, "12", shell(t, "cat "+group+"/pids.max"))
	require.Equal(t, strconv.Itoa(64<<20), shell(t, "cat "+group+"/memory.max"))
	code, body := s.Run("f", `"processes"`)
	require.Equal(t, 500, code)
	require.Contains(t, body, "Resource temporarily unavailable")
	code, body = s.Run("f", `"memory"`)
	require.Equal(t, http.StatusBadGateway, code, body)
	require.Contains(t, body, "function f: ended without an answer: it was out of memory: limits.mem_mb is 64")
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
	require.NotEqual(t, id, containers(s)[0])
}

// If limits.procs leaves no process for a request, it is answered with 503.
func TestGuestNoProcessLeft(t *testing.T) {
	s := guestServe(t, func(c *config.Config) {
		oltest.Handler(t, *c, "f", "import time\ndef f(event):\n    time.sleep(event)\n    return 1\n")
		c.Invocation, c.Limits.Procs, c.Network = config.Fork, 4, "none"
		c.Functions = []config.Function{{Name: "f", UID: "7"}}
	})
	codes := make(chan int, 8)
	for range 8 {
		go func() { code, _ := s.Run("f", "5"); codes <- code }()
	}
	got := map[int]int{}
	for range 8 {
		got[<-codes]++
	}
	// One of the four is the server. An invocation is one, and if there is room its keeper's
	// thread is another.
	require.Equal(t, 8, got[200]+got[http.StatusServiceUnavailable], "%v", got)
	require.True(t, 2 <= got[200] && got[200] <= 3, "%v", got)
	code, _ := s.Run("f", "0")
	require.Equal(t, 200, code)
}

// Requests are served after the container was paused, after it was killed from outside,
// and after Docker was restarted.
func TestGuestFaults(t *testing.T) {
	s := guestServe(t, func(c *config.Config) { oltest.Handler(t, *c, "f", guestHandler) })
	code, body := s.Run("f", "1")
	require.Equal(t, 200, code, body)

	first := containers(s)[0]
	require.Eventually(t, func() bool { return shell(t, "docker inspect -f '{{.State.Paused}}' "+first) == "true" }, time.Minute, time.Second, "idle")
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
	require.Equal(t, first, containers(s)[0], "woken, not replaced")

	shell(t, "docker kill "+first)
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
	require.NotEqual(t, first, containers(s)[0])

	shell(t, "systemctl restart docker")
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
	require.NoError(t, s.Stop())
	require.Empty(t, containers(s))
}

func TestGuestImageMissing(t *testing.T) {
	inGuest(t)
	c := oltest.Config(t)
	c.Image = "no-such-image"
	c = oltest.Parsed(t, c)
	d, err := docker.New(c, oltest.Log())
	require.NoError(t, err)
	require.ErrorContains(t, api.New(c, d, oltest.Log()).Serve(t.Context()), `docker: image "no-such-image" is not loaded`)
}

func TestGuestDiskFull(t *testing.T) {
	var filler string
	s := guestServe(t, func(c *config.Config) {
		oltest.Handler(t, *c, "f", oltest.Echo)
		oltest.SmallDisk(t, c.WorkerDir)
		filler = c.WorkerDir + "/filler"
	})
	oltest.Fill(t, filler)
	code, body := s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "no space left on device")
	require.NoError(t, os.Remove(filler))
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
}

// A worker that was killed leaves containers, the next one removes them.
func TestGuestWorkerKilled(t *testing.T) {
	inGuest(t)
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	path := filepath.Dir(c.WorkerDir)
	require.NoError(t, c.Write(path+"/config.json"))
	self, err := os.Executable()
	require.NoError(t, err)
	up := func() int {
		cmd := exec.Command(self, "worker", "-d", "-p", path)
		cmd.Env = append(os.Environ(), "OL_MAIN=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		pid, _, _ := workdir.Running(c)
		return pid
	}
	s := &oltest.Serving{T: t, Config: c, Base: "http://" + c.Address()}
	pid := up()
	code, body := s.Run("f", "1")
	require.Equal(t, 200, code, body)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Len(t, containers(s), 1)
	up()
	require.Empty(t, containers(s))
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
	require.Zero(t, run([]string{"kill", "-p", path}, os.Stderr, os.Stderr))
	require.Empty(t, containers(s))
}

// Under rr a running invocation has that policy, and a short one that comes
// later than two long ones is done before them.
func TestGuestSched(t *testing.T) {
	s := guestServe(t, func(c *config.Config) {
		oltest.Handler(t, *c, "f", "import os, time\ndef f(event):\n    while time.process_time() < event: pass\n    return [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority]\n")
		c.Invocation, c.Sched, c.CPUs, c.Network = config.Fork, "rr", "0", "none"
		c.Functions = []config.Function{{Name: "f", UID: "7"}}
	})
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	call := func(cpu string) {
		wg.Go(func() {
			code, body := s.Run("f", cpu)
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, 200, code, body)
			assert.JSONEq(t, "[2, 1]", body)
			order = append(order, cpu)
		})
	}
	call("3")
	call("3")
	group := "/sys/fs/cgroup/alps.slice/docker-" + containers(s)[0] + ".scope"
	policies := func() string {
		return shell(t, "for p in $(cat "+group+"/cgroup.procs); do chrt -p $p 2>/dev/null || true; done")
	}
	require.Eventually(t, func() bool { return strings.Count(policies(), "priority: 1") == 2 }, time.Minute, 100*time.Millisecond, "both run")
	seen := policies()
	require.Equal(t, 3, strings.Count(seen, "SCHED_RR"), seen)
	require.Equal(t, 1, strings.Count(seen, "priority: 2"), "the server accepts above them:\n%s", seen)
	call("0.05")
	wg.Wait()
	require.Equal(t, []string{"0.05", "3", "3"}, order)
}

// 2,000 requests from 64 clients: none lost, none twice.
func TestGuestLoad(t *testing.T) {
	const clients, requests = 64, 2000
	for _, mode := range []string{config.Fork, config.Import} {
		t.Run(mode, func(t *testing.T) {
			s := guestServe(t, func(c *config.Config) {
				c.Registry, c.RegistryCacheMS = "/opt/alps/registry", 5000
				c.Invocation, c.Concurrency, c.Queue, c.Network = mode, 0, clients, "none"
				c.CPUs = "1" // as in the rig, worker and clients are on CPU 0
				c.Functions = []config.Function{{Name: "noop", UID: "7"}}
			})
			var mu sync.Mutex
			seen := map[string]int{}
			next := make(chan int)
			hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
			var wg sync.WaitGroup
			begun := time.Now()
			for range clients {
				wg.Go(func() {
					for i := range next {
						r, err := client.Invoke(context.Background(), hc, s.Base, "noop", client.Request{N: "1", ID: strconv.Itoa(i), Job: "noop"})
						mu.Lock()
						if err != nil {
							t.Error(err)
						}
						seen[r.ID]++
						mu.Unlock()
					}
				})
			}
			for i := range requests {
				next <- i
			}
			close(next)
			wg.Wait()
			require.Len(t, seen, requests, "none is lost")
			for id, n := range seen {
				require.Equal(t, 1, n, "reply %s", id)
			}
			var stats map[string]int64
			require.NoError(t, json.Unmarshal([]byte(s.Get("/stats")), &stats))
			require.EqualValues(t, requests, stats["ServeHTTP.cnt"], "each was given to the function once")
			for line := range strings.Lines(s.Get("/metrics")) {
				if strings.HasPrefix(line, "ol_overhead_seconds") {
					t.Log(strings.TrimSpace(line))
				}
			}
			t.Logf("%s: %d requests in %s", mode, requests, time.Since(begun).Round(time.Millisecond))
		})
	}
}

// How much more CPU time a container uses for a request in mode fork than the function
// itself. Only in a guest in virtual time does the number not depend on the host.
func TestGuestForkCost(t *testing.T) {
	const n, times = 16, 40
	s := guestServe(t, func(c *config.Config) {
		c.Registry, c.RegistryCacheMS, c.Invocation, c.Network = "/opt/alps/registry", 60_000, config.Fork, "none"
		c.Functions = []config.Function{{Name: "fib", UID: "7"}}
	})
	code, body := s.Run("fib", fmt.Sprintf(`{"n": %d}`, n))
	require.Equal(t, 200, code, body)
	id := containers(s)[0]
	usage := func() time.Duration {
		us, err := strconv.Atoi(shell(t, "sed -n 's/^usage_usec //p' /sys/fs/cgroup/alps.slice/docker-"+id+".scope/cpu.stat"))
		require.NoError(t, err)
		return time.Duration(us) * time.Microsecond
	}
	before := usage()
	for range times {
		code, body := s.Run("fib", fmt.Sprintf(`{"n": %d}`, n))
		require.Equal(t, 200, code, body)
	}
	whole := (usage() - before) / times
	us := shell(t, fmt.Sprintf(`docker exec %s python3 -c 'import sys, time; sys.path.insert(0, "/handler"); import f
f.main(%d, 1); b = time.process_time()
for _ in range(%d): f.main(%d, 1)
print(int((time.process_time() - b) / %d * 1e6))'`, id, n, times, n, times))
	bareUS, err := strconv.Atoi(us)
	require.NoError(t, err)
	bare := time.Duration(bareUS) * time.Microsecond
	t.Logf("one invocation: %s of CPU; the function itself: %s; added: %s", whole, bare, whole-bare)
	require.LessOrEqual(t, whole-bare, 5*time.Millisecond)
}
