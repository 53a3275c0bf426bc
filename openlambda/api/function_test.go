// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/workdir"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Stock mode: one request per instance at a time, the others wait.
func TestStockModeServesOneAtATime(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	var now, most atomic.Int32
	p := &oltest.Pool{Answer: func(*oltest.Sandbox, string) string {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
		return "ok"
	}}
	s := oltest.Serve(t, c, p)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			code, body := s.Run("f", "1")
			assert.Equal(t, 200, code, body)
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, most.Load())
	require.Len(t, p.Sandboxes(), 1, "requests of 60 ms altogether need no second instance")
}

// Artifact mode: one instance, as many requests at once as come.
func TestArtifactModeServesAllAtOnce(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Invocation, c.Concurrency = config.Fork, 0
	var here sync.WaitGroup
	here.Add(50)
	p := &oltest.Pool{Answer: func(*oltest.Sandbox, string) string { here.Done(); here.Wait(); return "ok" }}
	c.Queue = 64
	s := oltest.Serve(t, c, p)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			code, _ := s.Run("f", "1")
			assert.Equal(t, 200, code)
		})
	}
	wg.Wait()
	require.Len(t, p.Sandboxes(), 1)
	require.Zero(t, p.Sandboxes()[0].Pauses.Load())
}

// Instances come and go one per second, the idle ones are paused and wake up.
func TestScaleUpAndDownAndPause(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	var slow atomic.Bool
	p := &oltest.Pool{Answer: func(s *oltest.Sandbox, _ string) string {
		if s.Paused.Load() {
			return "asked while paused"
		}
		if slow.Load() {
			time.Sleep(1100 * time.Millisecond)
		}
		return "ok"
	}}
	s := oltest.Serve(t, c, p)
	slow.Store(true)
	code, _ := s.Run("f", "1") // now the worker knows that the function is slow
	require.Equal(t, 200, code)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			code, body := s.Run("f", "1")
			assert.Equal(t, 200, code)
			assert.Equal(t, "ok", body)
		})
	}
	wg.Wait()
	slow.Store(false)
	require.GreaterOrEqual(t, len(p.Sandboxes()), 2)
	oltest.Eventually(t, func() bool { return p.Live() == 1 }, "spare instances end")
	last := func() *oltest.Sandbox {
		for _, x := range p.Sandboxes() {
			if !x.Destroyed.Load() {
				return x
			}
		}
		return nil
	}()
	oltest.Eventually(t, func() bool { return last.Paused.Load() }, "the idle one is paused")
	require.Contains(t, s.Get("/metrics"), `ol_sandboxes{function="f",state="paused"} 1`)
	code, body := s.Run("f", "1")
	require.Equal(t, 200, code)
	require.Equal(t, "ok", body)
	require.EqualValues(t, 1, last.Unpauses.Load())
}

func TestFullQueue(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	c.Queue = 2
	hold := make(chan struct{})
	p := &oltest.Pool{Answer: func(*oltest.Sandbox, string) string { <-hold; return "ok" }}
	s := oltest.Serve(t, c, p)
	codes := make(chan int, 10)
	for range 3 {
		go func() { code, _ := s.Run("f", "1"); codes <- code }()
	}
	oltest.Eventually(t, func() bool { return strings.Contains(s.Get("/metrics"), `ol_queue_length{function="f"} 2`) }, "two wait")
	code, body := s.Run("f", "1")
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
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", "def f(event):\n    return 1\n")
	p := &oltest.Pool{Answer: func(s *oltest.Sandbox, _ string) string {
		code, err := os.ReadFile(filepath.Join(s.Spec.CodeDir, "f.py"))
		if err != nil {
			return err.Error()
		}
		return string(code)
	}}
	s := oltest.Serve(t, c, p)
	for range 5 {
		_, body := s.Run("f", "1")
		require.Contains(t, body, "return 1")
	}
	require.Len(t, p.Sandboxes(), 1)
	path := filepath.Join(c.Registry, "f.py")
	require.NoError(t, os.Rename(path, path+".away"))
	code, body := s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "lambda not found at any of these locations")
	require.NoError(t, os.Rename(path+".away", path))
	code, _ = s.Run("f", "1")
	require.Equal(t, 200, code)
	require.Len(t, p.Sandboxes(), 1, "the code is what it was")

	oltest.Handler(t, c, "f", "def f(event):\n    return 22\n")
	_, body = s.Run("f", "1")
	require.Contains(t, body, "return 22")
	require.Len(t, p.Sandboxes(), 2)
	oltest.Eventually(t, func() bool { return p.Live() == 1 }, "the old instance ends")
	oltest.Eventually(t, func() bool {
		dirs, err := os.ReadDir(workdir.Code(c))
		return err == nil && len(dirs) == 1
	}, "the old code goes")
}

// A request that runs keeps its code although the registry changes under it.
func TestRegistryFileVanishesMidRequest(t *testing.T) {
	c := oltest.Config(t)
	oltest.Handler(t, c, "f", oltest.Echo)
	enter, leave := make(chan struct{}), make(chan struct{})
	p := &oltest.Pool{Answer: func(s *oltest.Sandbox, body string) string {
		if body == "slow" {
			enter <- struct{}{}
			<-leave
		}
		if _, err := os.Stat(filepath.Join(s.Spec.CodeDir, "f.py")); err != nil {
			return err.Error()
		}
		return "ok"
	}}
	s := oltest.Serve(t, c, p)
	got := make(chan string, 1)
	go func() { _, body := s.Run("f", "slow"); got <- body }()
	<-enter
	require.NoError(t, os.Remove(filepath.Join(c.Registry, "f.py")))
	code, body := s.Run("f", "1")
	require.Equal(t, 500, code)
	require.Contains(t, body, "lambda not found")
	oltest.Handler(t, c, "f", "# other\n"+oltest.Echo)
	code, body = s.Run("f", "1")
	require.Equal(t, 200, code, body)
	close(leave)
	require.Equal(t, "ok", <-got)
	oltest.Eventually(t, func() bool { return p.Live() == 1 }, "the old one ended with its request")
}
