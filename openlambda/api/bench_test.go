// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/oltest"
)

// envClients is the environment variable that makes the test binary the benchmark's
// clients. Its value is the worker's address, a space, and how many requests they send.
const envClients = "ALPS_BENCH_CLIENTS"

const benchBody = `{"n":"1","id":"1","job":"noop"}`

func TestMain(m *testing.M) {
	if at, n, ok := strings.Cut(os.Getenv(envClients), " "); ok {
		requests, err := strconv.Atoi(n)
		if err == nil {
			err = clients(at, requests)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// clients sends n requests from 64 clients that keep their connections.
func clients(at string, n int) error {
	message := fmt.Appendf(nil, "POST /run/noop HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(benchBody), benchBody)
	var left atomic.Int64
	left.Store(int64(n))
	var g errgroup.Group
	for range 64 {
		g.Go(func() error {
			conn, err := net.Dial("tcp", at)
			if err != nil {
				return err
			}
			defer conn.Close()
			br := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(message); err != nil {
					return err
				}
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					return err
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					return fmt.Errorf("status %d: %w", resp.StatusCode, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// BenchmarkWorker sends requests from 64 clients in a process of their own through the
// worker to a sandbox in the worker's process that only answers. CPU time does not
// depend on what else runs on the host: two idle CPUs serve 2,000,000 / CPU-µs/req requests a second.
// With -benchtime=1000000x it shows whether memory stays flat: B-grown is by how many bytes
// the heap grew after the first tenth of the requests. own-P99-ms is what the worker itself
// adds to a request.
func BenchmarkWorker(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(api.GCPercent))
	c := oltest.Config(b)
	oltest.Handler(b, c, "noop", oltest.Echo)
	c.Invocation, c.Concurrency, c.RegistryCacheMS = config.Fork, 0, 5000
	s := oltest.Serve(b, c, &oltest.Pool{})
	status, _ := s.Run("noop", benchBody)
	require.Equal(b, 200, status)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	requests := func(n int) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", envClients, c.Address(), n))
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s", out)
	}
	cpu := func(who int) time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(who, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	requests(b.N / 10)
	before, worker, client := heap(), cpu(syscall.RUSAGE_SELF), cpu(syscall.RUSAGE_CHILDREN)
	b.ReportAllocs()
	b.ResetTimer()
	n := b.N - b.N/10
	requests(n)
	b.StopTimer()
	worker, client = cpu(syscall.RUSAGE_SELF)-worker, cpu(syscall.RUSAGE_CHILDREN)-client
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(n) }
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(each(worker+client), "CPU-µs/req")
	b.ReportMetric(each(worker), "worker-CPU-µs/req")
	b.ReportMetric(heap()-before, "B-grown")
	for _, line := range strings.Split(s.Get("/metrics"), "\n") {
		if value, ok := strings.CutPrefix(line, `ol_overhead_seconds{quantile="0.99"} `); ok {
			p99, err := strconv.ParseFloat(value, 64)
			require.NoError(b, err)
			b.ReportMetric(p99*1e3, "own-P99-ms")
		}
	}
}
