// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ds2-lab/alps/openlambda/oltest"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
)

// BenchmarkWorker is requests through the worker to a sandbox that only answers,
// from 64 clients that keep their connections. With -benchtime=1000000x it shows
// whether memory stays flat: B-grown is the heap's growth between the first and
// the last tenth; own-P99-ms is what the worker itself adds to a request.
func BenchmarkWorker(b *testing.B) {
	c := oltest.Config(b)
	oltest.Handler(b, c, "noop", oltest.Echo)
	c.Invocation, c.Concurrency, c.RegistryCacheMS = config.Fork, 0, 5000
	s := oltest.Serve(b, c, &oltest.Pool{})
	body := `{"n":"1","id":"1","job":"noop"}`
	message := fmt.Appendf(nil, "POST /run/noop HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	status, _ := s.Run("noop", body)
	require.Equal(b, 200, status)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	requests := func(n int) {
		var left atomic.Int64
		left.Store(int64(n))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				conn, err := net.Dial("tcp", c.Address())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				br := bufio.NewReader(conn)
				for left.Add(-1) >= 0 {
					conn.Write(message)
					resp, err := http.ReadResponse(br, nil)
					if err != nil || resp.StatusCode != 200 {
						b.Errorf("%v %v", resp, err)
						return
					}
					io.Copy(io.Discard, resp.Body)
				}
			})
		}
		wg.Wait()
	}
	// CPU time, of clients and sandbox too, does not depend on who else is busy.
	cpu := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	requests(b.N / 10)
	before, cpuBefore := heap(), cpu()
	b.ReportAllocs()
	b.ResetTimer()
	requests(b.N - b.N/10)
	b.StopTimer()
	n := b.N - b.N/10
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64((cpu()-cpuBefore).Microseconds())/float64(n), "CPU-µs/req")
	b.ReportMetric(heap()-before, "B-grown")
	for _, line := range strings.Split(s.Get("/metrics"), "\n") {
		if value, ok := strings.CutPrefix(line, `ol_overhead_seconds{quantile="0.99"} `); ok {
			p99, err := strconv.ParseFloat(value, 64)
			require.NoError(b, err)
			b.ReportMetric(p99*1e3, "own-P99-ms")
		}
	}
}
