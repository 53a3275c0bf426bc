// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Spec is what a sandbox is made of.
type Spec struct {
	Function config.Function
	CodeDir  string // holds f.py
	HostDir  string // empty; for socket and pipe
}

// Maker makes sandboxes.
type Maker interface {
	// Start returns once the function answers.
	Start(context.Context, Spec) (Sandbox, error)
	// Reap removes what a crashed worker left.
	Reap(context.Context) error
}

// Sandbox is one warm container.
type Sandbox interface {
	Dial(context.Context) (net.Conn, error)
	Pause(context.Context) error
	Unpause(context.Context) error
	Destroy(context.Context) error
	// Dead is closed when the container ended by itself or was ended from outside.
	Dead() <-chan struct{}
	String() string
}

// ErrNotSent is an exchange in which the function has not seen the request.
var ErrNotSent = errors.New("not sent")

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}

// Exchange sends one request over a connection of its own, for the far side
// forks at accept, and calls answer with the response. When ctx ends the
// connection is closed, and an invocation that is a process ends with it.
func Exchange(ctx context.Context, s Sandbox, body []byte, answer func(*http.Response) error) error {
	conn, err := s.Dial(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	head := make([]byte, 0, 128+len(body))
	head = append(head, "POST / HTTP/1.1\r\nHost: sandbox\r\nContent-Length: "...)
	head = strconv.AppendInt(head, int64(len(body)), 10)
	head = append(append(head, "\r\n\r\n"...), body...)
	// A server that refuses without reading everything has answered all the same.
	_, writeErr := conn.Write(head)
	br := readers.Get().(*bufio.Reader)
	defer readers.Put(br)
	br.Reset(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return errors.Join(err, writeErr)
	}
	defer resp.Body.Close()
	return answer(resp)
}

// Deadline bounds what is asked of Docker, so that a daemon that hangs does
// not hang requests.
const Deadline = 30 * time.Second
