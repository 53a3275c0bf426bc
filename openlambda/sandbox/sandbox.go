// SPDX-License-Identifier: Apache-2.0

// Package sandbox is what the worker knows of a function's container: how one is
// asked for, what can be done to it, how a request gets into it and the answer
// out of it; and the program that runs in it.
package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Spec is what a sandbox is made of.
type Spec struct {
	Function config.Function
	CodeDir  string   // holds the function's files
	Env      []string // NAME=value
	HostDir  string   // an empty directory for the server's program, socket and pipe; Destroy removes it
}

// Maker makes sandboxes.
type Maker interface {
	// Check returns why no sandbox can be made at all, such as a missing image.
	Check(context.Context) error
	// Start returns once the function's server is ready. An error that matches ErrRefused
	// comes back until the function's code or the image is another.
	Start(context.Context, Spec) (Sandbox, error)
	// Reap removes the sandboxes that a worker in the same worker_dir left.
	Reap(context.Context) error
}

// Sandbox is one warm container.
type Sandbox interface {
	Dial(context.Context) (net.Conn, error) // to the server in it
	Pause(context.Context) error
	Unpause(context.Context) error
	Destroy(context.Context) error
	// Dead is closed when the container has ended: by itself, from outside or by Destroy.
	Dead() <-chan struct{}
	// Death says why. It is asked once Dead is closed, or after an exchange that got no answer.
	Death(context.Context) Death
	String() string
}

// Death is why a sandbox, or a process in it, ended.
type Death struct {
	Kind string // "oom", "signal", "exit", "gone"; "" where nothing is known
	Text string // a sentence's end, as "it was out of memory: limits.mem_mb is 50"
}

// ErrNotSent means that the function has not seen the request: another sandbox may get it.
var ErrNotSent = errors.New("not sent")

// ErrRefused means that this worker's image lacks what the function asks for.
var ErrRefused = errors.New("refused")

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}
)

// late is a connection that is made by the first Write, so that the server, which a new
// connection wakes up, finds the request there. Else it would sleep again until the request
// came, and the observer would see two busy periods.
type late struct {
	ctx  context.Context
	s    Sandbox
	conn net.Conn // nil until the first Write
	err  error    // why there is none
	stop func() bool
}

func (l *late) Write(p []byte) (int, error) {
	if l.conn == nil {
		conn, err := l.s.Dial(l.ctx)
		if err != nil {
			l.err = err
			return 0, err
		}
		l.conn = conn
		l.stop = context.AfterFunc(l.ctx, func() { conn.Close() })
	}
	return l.conn.Write(p)
}

// Exchange sends req with body over a connection of its own, because the server forks
// when it accepts one, and calls answer with the response. When ctx ends, the connection
// is closed, and an invocation that is a process ends with it. If answer fails, the handler's
// next write fails, and Exchange returns when the handler has ended or ctx has. The error
// matches ErrNotSent if no connection could be made.
func Exchange(ctx context.Context, s Sandbox, req *http.Request, body []byte, answer func(*http.Response) error) error {
	req.Body, req.ContentLength = http.NoBody, int64(len(body))
	if len(body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	to := &late{ctx: ctx, s: s}
	bw := writers.Get().(*bufio.Writer)
	defer writers.Put(bw)
	bw.Reset(to)
	// After an error the answer is read all the same: the server may refuse a request that it has not read whole.
	writeErr := req.Write(bw)
	if writeErr == nil {
		writeErr = bw.Flush()
	}
	if to.err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, to.err)
	}
	if to.conn == nil {
		return writeErr // req cannot be written as HTTP
	}
	defer to.conn.Close()
	defer to.stop()
	br := readers.Get().(*bufio.Reader)
	defer readers.Put(br)
	br.Reset(to.conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return errors.Join(err, writeErr)
	}
	defer resp.Body.Close()
	err = answer(resp)
	if err != nil {
		hangUp(to.conn)
	}
	return err
}

// hangUp makes the server's next write fail, and returns when the server has closed the
// connection or conn is closed.
func hangUp(conn net.Conn) {
	c, ok := conn.(*net.UnixConn)
	if !ok || c.CloseRead() != nil {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) (closed bool) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(p, 0)
		return err != nil || p[0].Revents != 0 // with no events asked for, only the end is one
	})
}

// Deadline bounds pausing, waking, removing and examining a sandbox, so that a Docker
// daemon that hangs does not hang requests.
const Deadline = 30 * time.Second
