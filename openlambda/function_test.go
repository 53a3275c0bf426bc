package openlambda

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/socket"
	"github.com/ds2-lab/alps/openlambda/config"
)

// fakePool makes sandboxes that answer in this process.
type fakePool struct {
	mu     sync.Mutex
	all    []*fakeSandbox
	fail   atomic.Pointer[error]
	answer func(*fakeSandbox, string) string // called for every request; nil: "ok"
}

type fakeSandbox struct {
	pool     *fakePool
	spec     spec
	listener net.Listener
	end      chan struct{}
	once     sync.Once

	paused, destroyed          atomic.Bool
	pauses, unpauses, requests atomic.Int32
}

func (p *fakePool) reap(context.Context) error { return nil }

func (p *fakePool) start(_ context.Context, s spec) (sandbox, error) {
	if err := p.fail.Load(); err != nil {
		return nil, *err
	}
	l, err := net.Listen("unix", filepath.Join(s.hostDir, "ol.sock"))
	if err != nil {
		return nil, err
	}
	f := &fakeSandbox{pool: p, spec: s, listener: l, end: make(chan struct{})}
	p.mu.Lock()
	p.all = append(p.all, f)
	p.mu.Unlock()
	go f.accept()
	return f, nil
}

func (f *fakeSandbox) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			br := bufio.NewReader(conn)
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			f.requests.Add(1)
			out := "ok"
			if f.pool.answer != nil {
				body, _ := io.ReadAll(req.Body)
				out = f.pool.answer(f, string(body))
			}
			if out != "" { // else it dies without an answer
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(out), out)
			}
		}()
	}
}

func (f *fakeSandbox) dial(ctx context.Context) (net.Conn, error) {
	return socket.Dial(ctx, filepath.Join(f.spec.hostDir, "ol.sock"))
}
func (f *fakeSandbox) pause(context.Context) error { f.pauses.Add(1); f.paused.Store(true); return nil }
func (f *fakeSandbox) unpause(context.Context) error {
	f.unpauses.Add(1)
	f.paused.Store(false)
	return nil
}
func (f *fakeSandbox) dead() <-chan struct{} { return f.end }
func (f *fakeSandbox) String() string        { return filepath.Base(f.spec.hostDir) }

// die ends it as from outside.
func (f *fakeSandbox) die() { f.once.Do(func() { f.listener.Close(); close(f.end) }) }

func (f *fakeSandbox) destroy(context.Context) error {
	f.destroyed.Store(true)
	f.die()
	return nil
}

// sandboxes are those made so far; live those not destroyed.
func (p *fakePool) sandboxes() []*fakeSandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

func (p *fakePool) live() int {
	n := 0
	for _, s := range p.sandboxes() {
		if !s.destroyed.Load() {
			n++
		}
	}
	return n
}

// Stock mode: one request per instance at a time, the others wait.
func TestStockModeServesOneAtATime(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	var now, most atomic.Int32
	p := &fakePool{answer: func(*fakeSandbox, string) string {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
		return "ok"
	}}
	s := serve(t, c, p)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			code, body := s.run("f", "1")
			assert.Equal(t, 200, code, body)
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, most.Load())
	require.Len(t, p.sandboxes(), 1, "60 ms of work need no second instance")
}

// Artifact mode: one instance, as many requests at once as come.
func TestArtifactModeServesAllAtOnce(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	c.Invocation, c.Concurrency = config.Fork, 0
	var here sync.WaitGroup
	here.Add(50)
	p := &fakePool{answer: func(*fakeSandbox, string) string { here.Done(); here.Wait(); return "ok" }}
	c.Queue = 64
	s := serve(t, c, p)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			code, _ := s.run("f", "1")
			assert.Equal(t, 200, code)
		})
	}
	wg.Wait()
	require.Len(t, p.sandboxes(), 1)
	require.Zero(t, p.sandboxes()[0].pauses.Load())
}

func TestInstancesFollowOutstandingWork(t *testing.T) {
	f := &function{w: &Worker{config: config.Config{Concurrency: 1, Queue: 99}}}
	state := func(avg time.Duration, waiting int, inflight ...int) int {
		f.avg = rolling{}
		f.avg.add(avg)
		f.waiting.Init()
		for range waiting {
			f.waiting.PushBack(make(chan grant, 1))
		}
		f.instances = nil
		for _, n := range inflight {
			f.instances = append(f.instances, &instance{inflight: n})
		}
		return f.desired()
	}
	require.Equal(t, 0, state(time.Second, 0))
	require.Equal(t, 1, state(0, 1), "nothing known yet")
	require.Equal(t, 1, state(10*time.Millisecond, 30, 1))
	require.Equal(t, 5, state(500*time.Millisecond, 9, 1), "5 s of work")
	require.Equal(t, 4, state(100*time.Second, 3, 1), "no more than could be busy")
	require.Equal(t, 1, state(10*time.Second, 0, 0, 0), "one stays")
	f.w.config.Instances.Max = 2
	require.Equal(t, 2, state(time.Second, 9, 1))
	f.w.config.Instances.Max, f.min = 0, 3
	require.Equal(t, 3, state(0, 0))
	f.min, f.w.config.Concurrency = 0, 4
	require.Equal(t, 2, state(time.Second, 4, 4), "8 s of work, 4 at a time")
}

// Instances come and go one per second, the idle ones are paused and wake up.
func TestScaleUpAndDownAndPause(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	var slow atomic.Bool
	p := &fakePool{answer: func(s *fakeSandbox, _ string) string {
		if s.paused.Load() {
			return "asked while paused"
		}
		if slow.Load() {
			time.Sleep(1100 * time.Millisecond)
		}
		return "ok"
	}}
	s := serve(t, c, p)
	slow.Store(true)
	code, _ := s.run("f", "1") // it is slow, that is known now
	require.Equal(t, 200, code)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			code, body := s.run("f", "1")
			assert.Equal(t, 200, code)
			assert.Equal(t, "ok", body)
		})
	}
	wg.Wait()
	slow.Store(false)
	require.GreaterOrEqual(t, len(p.sandboxes()), 2)
	eventually(t, func() bool { return p.live() == 1 }, "spare instances end")
	last := func() *fakeSandbox {
		for _, x := range p.sandboxes() {
			if !x.destroyed.Load() {
				return x
			}
		}
		return nil
	}()
	eventually(t, func() bool { return last.paused.Load() }, "the idle one is paused")
	require.Contains(t, s.get("/metrics"), `ol_sandboxes{function="f",state="paused"} 1`)
	code, body := s.run("f", "1")
	require.Equal(t, 200, code)
	require.Equal(t, "ok", body)
	require.EqualValues(t, 1, last.unpauses.Load())
}

func TestFullQueue(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	c.Queue = 2
	hold := make(chan struct{})
	p := &fakePool{answer: func(*fakeSandbox, string) string { <-hold; return "ok" }}
	s := serve(t, c, p)
	codes := make(chan int, 10)
	for range 3 {
		go func() { code, _ := s.run("f", "1"); codes <- code }()
	}
	eventually(t, func() bool { return strings.Contains(s.get("/metrics"), `ol_queue_length{function="f"} 2`) }, "two wait")
	code, body := s.run("f", "1")
	require.Equal(t, http.StatusTooManyRequests, code)
	require.Equal(t, "lambda function queue is full\n", body)
	close(hold)
	for range 3 {
		require.Equal(t, 200, <-codes)
	}
}

// Changed code replaces the instance, unchanged code does not, and a file that
// vanished and came back as it was costs no cold start.
func TestCodeChanges(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", "def f(event):\n    return 1\n")
	p := &fakePool{answer: func(s *fakeSandbox, _ string) string {
		code, err := os.ReadFile(filepath.Join(s.spec.codeDir, "f.py"))
		if err != nil {
			return err.Error()
		}
		return string(code)
	}}
	s := serve(t, c, p)
	for range 5 {
		_, body := s.run("f", "1")
		require.Contains(t, body, "return 1")
	}
	require.Len(t, p.sandboxes(), 1)
	path := filepath.Join(c.Registry, "f.py")
	require.NoError(t, os.Rename(path, path+".away"))
	code, body := s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "lambda not found at any of these locations")
	require.NoError(t, os.Rename(path+".away", path))
	code, _ = s.run("f", "1")
	require.Equal(t, 200, code)
	require.Len(t, p.sandboxes(), 1, "the code is what it was")

	handler(t, c, "f", "def f(event):\n    return 22\n")
	_, body = s.run("f", "1")
	require.Contains(t, body, "return 22")
	require.Len(t, p.sandboxes(), 2)
	eventually(t, func() bool { return p.live() == 1 }, "the old instance ends")
	eventually(t, func() bool {
		dirs, err := os.ReadDir(codeDir(c))
		return err == nil && len(dirs) == 1
	}, "the old code goes")
}

// A request that runs keeps its code although the registry changes under it.
func TestRegistryFileVanishesMidRequest(t *testing.T) {
	c := testConfig(t)
	handler(t, c, "f", echo)
	enter, leave := make(chan struct{}), make(chan struct{})
	p := &fakePool{answer: func(s *fakeSandbox, body string) string {
		if body == "slow" {
			enter <- struct{}{}
			<-leave
		}
		if _, err := os.Stat(filepath.Join(s.spec.codeDir, "f.py")); err != nil {
			return err.Error()
		}
		return "ok"
	}}
	s := serve(t, c, p)
	got := make(chan string, 1)
	go func() { _, body := s.run("f", "slow"); got <- body }()
	<-enter
	require.NoError(t, os.Remove(filepath.Join(c.Registry, "f.py")))
	code, body := s.run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "lambda not found")
	handler(t, c, "f", "# other\n"+echo)
	code, body = s.run("f", "1")
	require.Equal(t, 200, code, body)
	close(leave)
	require.Equal(t, "ok", <-got)
	eventually(t, func() bool { return p.live() == 1 }, "the old one ended with its request")
}
