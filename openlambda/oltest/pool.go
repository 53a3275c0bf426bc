// SPDX-License-Identifier: Apache-2.0

package oltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ds2-lab/alps/internal/socket"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// Pool makes sandboxes that answer in this process.
type Pool struct {
	mu     sync.Mutex
	all    []*Sandbox
	Fail   atomic.Pointer[error]         // the error of every Start; nil: none
	Starts atomic.Int32                  // how often Start was called
	Answer func(*Sandbox, string) string // returns the answer to a request's body, "" for none; nil: "ok"
}

// Sandbox is one of a Pool's.
type Sandbox struct {
	pool     *Pool
	Spec     sandbox.Spec
	listener net.Listener
	end      chan struct{}
	once     sync.Once

	Paused, Destroyed          atomic.Bool
	Pauses, Unpauses, Requests atomic.Int32
}

// Check finds nothing wrong.
func (p *Pool) Check(context.Context) error { return nil }

// Reap removes nothing.
func (p *Pool) Reap(context.Context) error { return nil }

// Start makes a sandbox that answers at once.
func (p *Pool) Start(_ context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	p.Starts.Add(1)
	if err := p.Fail.Load(); err != nil {
		return nil, *err
	}
	l, err := net.Listen("unix", filepath.Join(s.HostDir, "ol.sock"))
	if err != nil {
		return nil, err
	}
	f := &Sandbox{pool: p, Spec: s, listener: l, end: make(chan struct{})}
	p.mu.Lock()
	p.all = append(p.all, f)
	p.mu.Unlock()
	go f.accept()
	return f, nil
}

func (f *Sandbox) accept() {
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
			f.Requests.Add(1)
			out := "ok"
			if f.pool.Answer != nil {
				body, _ := io.ReadAll(req.Body)
				out = f.pool.Answer(f, string(body))
			}
			if out != "" { // else the connection closes without an answer
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(out), out)
			}
		}()
	}
}

// Death knows of no reason.
func (f *Sandbox) Death(context.Context) sandbox.Death { return sandbox.Death{} }

// Dial connects to the sandbox.
func (f *Sandbox) Dial(ctx context.Context) (net.Conn, error) {
	return socket.Dial(ctx, filepath.Join(f.Spec.HostDir, "ol.sock"))
}

// Pause counts the call and sets Paused. The sandbox goes on answering.
func (f *Sandbox) Pause(context.Context) error { f.Pauses.Add(1); f.Paused.Store(true); return nil }

// Unpause counts the call and clears Paused.
func (f *Sandbox) Unpause(context.Context) error {
	f.Unpauses.Add(1)
	f.Paused.Store(false)
	return nil
}

// Dead is closed when the sandbox ends, by Die or Destroy.
func (f *Sandbox) Dead() <-chan struct{} { return f.end }
func (f *Sandbox) String() string        { return filepath.Base(f.Spec.HostDir) }

// Die ends the sandbox as if from outside.
func (f *Sandbox) Die() { f.once.Do(func() { f.listener.Close(); close(f.end) }) }

// Destroy ends the sandbox. It may be called more than once.
func (f *Sandbox) Destroy(context.Context) error {
	f.Destroyed.Store(true)
	f.Die()
	return nil
}

// Sandboxes are those made so far.
func (p *Pool) Sandboxes() []*Sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// Live is how many sandboxes were made and not destroyed.
func (p *Pool) Live() int {
	n := 0
	for _, s := range p.Sandboxes() {
		if !s.Destroyed.Load() {
			n++
		}
	}
	return n
}
