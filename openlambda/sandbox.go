package openlambda

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

// spec is what a sandbox is made of.
type spec struct {
	function config.Function
	codeDir  string // holds f.py
	hostDir  string // empty; for socket and pipe
}

// pool makes sandboxes.
type pool interface {
	// start returns once the function answers.
	start(context.Context, spec) (sandbox, error)
	// reap removes what a crashed worker left.
	reap(context.Context) error
}

// sandbox is one warm container.
type sandbox interface {
	dial(context.Context) (net.Conn, error)
	pause(context.Context) error
	unpause(context.Context) error
	destroy(context.Context) error
	// dead is closed when the container ended by itself or was ended from outside.
	dead() <-chan struct{}
	String() string
}

// errNotSent is an exchange in which the function has not seen the request.
var errNotSent = errors.New("not sent")

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}

// exchange sends one request over a connection of its own, for the far side
// forks at accept, and calls answer with the response. When ctx ends the
// connection is closed, and an invocation that is a process ends with it.
func exchange(ctx context.Context, s sandbox, body []byte, answer func(*http.Response) error) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
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

// deadline bounds what is asked of Docker, so that a daemon that hangs does
// not hang requests.
const deadline = 30 * time.Second
