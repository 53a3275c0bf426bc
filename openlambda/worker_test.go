package openlambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	olclient "github.com/ds2-lab/alps/openlambda/client"
)

// fakeSandbox answers on unix sockets without containers.
type fakeSandbox struct {
	t       *testing.T
	dir     string
	fail    error
	started atomic.Int32
	stopped atomic.Int32
	reaped  atomic.Int32
	last    net.Listener
}

func (s *fakeSandbox) reap(context.Context) error { s.reaped.Add(1); return nil }

func (s *fakeSandbox) start(_ context.Context, f Function) (string, func(context.Context) error, error) {
	n := s.started.Add(1)
	if s.fail != nil {
		return "", nil, s.fail
	}
	path := filepath.Join(s.dir, fmt.Sprint(n))
	l, err := net.Listen("unix", path)
	require.NoError(s.t, err)
	s.last = l
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"n":"400"`) {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "result\n7 1700000000.5 0.25 42 9 %s\n", f.Name)
	}))
	return path, func(context.Context) error { s.stopped.Add(1); return l.Close() }, nil
}

func freePorts(t *testing.T, n int) []string {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		out = append(out, port)
	}
	return out
}

func serve(t *testing.T, s *fakeSandbox) (config Config, end func() error) {
	dir, err := os.MkdirTemp("", "ol")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.t, s.dir = t, dir
	ports := freePorts(t, 3)
	c := DefaultConfig(dir)
	c.WorkerPort = ports[0]
	c.Functions = []Function{{"fib", "3", ports[1]}, {"graphBfs", "8", ports[2]}}
	require.NoError(t, os.MkdirAll(c.Registry, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(c.Registry, "late.py"), nil, 0o644))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- newWorker(c, s, slog.New(slog.DiscardHandler)).Serve(ctx) }()
	end = sync.OnceValue(func() error {
		if s.fail == nil { // else it ends by itself
			cancel()
		}
		return <-done
	})
	t.Cleanup(cancel)
	t.Cleanup(func() { end() })
	if s.fail == nil {
		require.Eventually(t, func() bool {
			resp, err := http.Get("http://127.0.0.1:" + ports[0] + "/status")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return string(b) == "ready\n"
		}, 10*time.Second, 5*time.Millisecond)
	}
	return c, end
}

func TestWorker(t *testing.T) {
	s := &fakeSandbox{}
	c, end := serve(t, s)
	require.EqualValues(t, 1, s.reaped.Load())
	require.EqualValues(t, 2, s.started.Load(), "both are warm before ready")
	base := func(i int) string { return "http://127.0.0.1:" + c.Functions[i].Port }
	r, err := olclient.Invoke(t.Context(), http.DefaultClient, base(0), "fib", olclient.Request{N: "9", ID: "7", Job: "fib"})
	require.NoError(t, err)
	require.Equal(t, olclient.Reply{ID: "7", Start: time.UnixMicro(1700000000500000), Elapsed: 250 * time.Millisecond, PID: 42, N: "9", Job: "fib"}, r)
	_, err = olclient.Invoke(t.Context(), http.DefaultClient, base(0), "graphBfs", olclient.Request{})
	require.ErrorContains(t, err, "500")
	require.ErrorContains(t, err, "serves fib")
	_, err = olclient.Invoke(t.Context(), http.DefaultClient, base(0), "fib", olclient.Request{N: "400"})
	require.ErrorContains(t, err, "400 Bad Request")

	main := "http://127.0.0.1:" + c.WorkerPort
	r, err = olclient.Invoke(t.Context(), http.DefaultClient, main, "graphBfs", olclient.Request{N: "9", ID: "7"})
	require.NoError(t, err)
	require.Equal(t, "graphBfs", r.Job)
	_, err = olclient.Invoke(t.Context(), http.DefaultClient, main, "late", olclient.Request{N: "9"})
	require.NoError(t, err)
	require.EqualValues(t, 3, s.started.Load(), "a function of the registry starts at its first request")
	_, err = olclient.Invoke(t.Context(), http.DefaultClient, main, "nope", olclient.Request{})
	require.ErrorContains(t, err, filepath.Join(c.Registry, "nope.py"))
	for _, bad := range []string{"..%2f..%2fetc", "a%20b"} {
		_, err = olclient.Invoke(t.Context(), http.DefaultClient, main, bad, olclient.Request{})
		require.ErrorContains(t, err, "500")
	}
	resp, err := http.Get(main + "/run/fib")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.NoError(t, end())
	require.EqualValues(t, 3, s.stopped.Load(), "no container is left")
}

func TestADeadSandboxIsReplaced(t *testing.T) {
	s := &fakeSandbox{}
	c, _ := serve(t, s)
	main := "http://127.0.0.1:" + c.WorkerPort
	_, err := olclient.Invoke(t.Context(), http.DefaultClient, main, "late", olclient.Request{N: "9"})
	require.NoError(t, err)
	s.last.Close() // killed from outside
	_, err = olclient.Invoke(t.Context(), http.DefaultClient, main, "late", olclient.Request{N: "9"})
	require.ErrorContains(t, err, "502")
	_, err = olclient.Invoke(t.Context(), http.DefaultClient, main, "late", olclient.Request{N: "9"})
	require.NoError(t, err)
	require.EqualValues(t, 4, s.started.Load())
}

func TestAFunctionThatDoesNotStartEndsTheWorker(t *testing.T) {
	s := &fakeSandbox{fail: errors.New("function fib: its process ended with code 1")}
	_, end := serve(t, s)
	require.ErrorContains(t, end(), "its process ended with code 1")
}
