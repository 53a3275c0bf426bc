// SPDX-License-Identifier: Apache-2.0

// Package qmp speaks QEMU's machine protocol over a unix socket.
//
// Monitor implements go-qemu's qmp.Monitor. Unlike that library's own socket
// monitor it matches replies to requests by id, gives every reply a buffer of
// its own, and never lets a slow reader of events hold up a reply.
package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	goqemu "github.com/digitalocean/go-qemu/qmp"

	"github.com/ds2-lab/alps/internal/socket"
)

// Event is something that QEMU tells unasked, such as SHUTDOWN or GUEST_PANICKED.
type Event = goqemu.Event

// ErrClosed is the error of requests to which no reply can come, because the connection
// is not open or has ended.
var ErrClosed = errors.New("qmp: connection closed")

// handshake is how long greeting and negotiation may take.
const handshake = 30 * time.Second

// Monitor is one connection. It is safe for concurrent use.
type Monitor struct {
	path string

	writing chan struct{} // has a token while nobody writes

	mu      sync.Mutex
	conn    net.Conn
	next    uint64
	waiting map[string]chan reply
	err     error // why the connection ended
	done    chan struct{}
	subs    map[*queue]bool
	early   []Event // events that came while nobody had subscribed
}

var _ goqemu.Monitor = (*Monitor)(nil)

type reply struct {
	raw []byte
	err error
}

// New returns a monitor for the socket at path; Connect opens it.
func New(path string) *Monitor {
	m := &Monitor{path: path, writing: make(chan struct{}, 1)}
	m.writing <- struct{}{}
	return m
}

// Connect is ConnectContext without a context, as go-qemu's Monitor has it.
func (m *Monitor) Connect() error { return m.ConnectContext(context.Background()) }

// ConnectContext opens the socket, reads the greeting and negotiates, within 30
// seconds and before ctx ends.
func (m *Monitor) ConnectContext(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, handshake, fmt.Errorf("no greeting within %s", handshake))
	defer cancel()
	conn, err := socket.Dial(ctx, m.path)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%s: %w", m.path, context.Cause(ctx))
		}
		return fmt.Errorf("qmp: connect: %w", err)
	}
	m.mu.Lock()
	m.conn, m.err = conn, nil
	m.waiting, m.subs, m.done = map[string]chan reply{}, map[*queue]bool{}, make(chan struct{})
	m.mu.Unlock()
	greeted := make(chan struct{})
	go m.read(conn, greeted)
	select {
	case <-greeted:
	case <-m.done:
		return m.err
	case <-ctx.Done():
		conn.Close()
		return fmt.Errorf("qmp: %s: %w", m.path, context.Cause(ctx))
	}
	if _, err := m.Do(ctx, "qmp_capabilities", nil); err != nil {
		conn.Close()
		return err
	}
	return nil
}

// Disconnect closes the connection. Requests under way end with ErrClosed.
func (m *Monitor) Disconnect() error {
	m.mu.Lock()
	conn, done := m.conn, m.done
	m.mu.Unlock()
	if conn == nil {
		return nil
	}
	err := conn.Close()
	<-done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Done is closed when the connection has ended.
func (m *Monitor) Done() <-chan struct{} { return m.done }

// Do executes a command and returns the "return" of its reply. args may be nil. An
// "error" in the reply is an error; ErrClosed and ctx's error are wrapped.
func (m *Monitor) Do(ctx context.Context, command string, args any) (json.RawMessage, error) {
	req := map[string]any{"execute": command}
	if args != nil {
		req["arguments"] = args
	}
	raw, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: %w", command, err)
	}
	raw, err = m.roundTrip(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: %w", command, err)
	}
	ret, err := result(raw)
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: %w", command, err)
	}
	return ret, nil
}

// result is the "return" of a reply, or its "error".
func result(raw []byte) (json.RawMessage, error) {
	var r struct {
		Return json.RawMessage
		Error  *struct{ Class, Desc string }
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.Error != nil {
		return nil, fmt.Errorf("%s: %s", r.Error.Class, r.Error.Desc)
	}
	return r.Return, nil
}

// Run implements go-qemu's Monitor: a whole request in, a whole reply out.
func (m *Monitor) Run(command []byte) ([]byte, error) {
	raw, err := m.roundTrip(context.Background(), command)
	if err != nil {
		return nil, fmt.Errorf("qmp: send a command: %w", err)
	}
	if _, err := result(raw); err != nil {
		return nil, fmt.Errorf("qmp: command: %w", err)
	}
	return raw, nil
}

func (m *Monitor) roundTrip(ctx context.Context, command []byte) ([]byte, error) {
	var req map[string]json.RawMessage
	if err := json.Unmarshal(command, &req); err != nil {
		return nil, err
	}
	ch := make(chan reply, 1)
	m.mu.Lock()
	if m.conn == nil || m.err != nil {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	m.next++
	id := strconv.FormatUint(m.next, 10)
	req["id"] = json.RawMessage(strconv.Quote(id))
	m.waiting[id] = ch
	conn := m.conn
	m.mu.Unlock()
	raw, err := json.Marshal(req)
	if err == nil {
		err = m.write(ctx, conn, append(raw, '\n'))
	}
	if err == nil {
		select {
		case r := <-ch:
			return r.raw, r.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	m.mu.Lock()
	delete(m.waiting, id)
	m.mu.Unlock()
	return nil, err
}

// write sends one request at a time. A QEMU that does not read holds a caller up only
// until the caller's context ends. A request that was written in part then has spoilt
// the connection, which is closed.
func (m *Monitor) write(ctx context.Context, conn net.Conn, raw []byte) error {
	select {
	case <-m.writing:
		defer func() { m.writing <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.SetWriteDeadline(time.Unix(1, 0))
		close(ended)
	})
	defer func() {
		if !stop() {
			<-ended // else the deadline would end the next caller's writing
		}
	}()
	if n, err := conn.Write(raw); err != nil {
		late := ctx.Err() != nil
		if !late || n > 0 {
			conn.Close()
		}
		if late {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

// Events returns the events that come until ctx or the connection ends, and before them
// those that came while nobody had subscribed. A reader may be as slow as it likes.
func (m *Monitor) Events(ctx context.Context) (<-chan Event, error) {
	m.mu.Lock()
	if m.conn == nil || m.err != nil {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	q := newQueue(m.early)
	m.early = nil
	m.subs[q] = true
	done := m.done
	m.mu.Unlock()
	out := make(chan Event)
	go func() {
		defer close(out)
		defer func() {
			m.mu.Lock()
			delete(m.subs, q)
			m.mu.Unlock()
		}()
		for {
			e, ok := q.pop()
			if !ok {
				select {
				case <-q.ready:
					continue
				case <-ctx.Done():
					return
				case <-done:
					if e, ok = q.pop(); !ok {
						return
					}
				}
			}
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// read is the only reader of the connection. It closes greeted at QEMU's greeting, and
// hands on replies and events until the connection ends.
func (m *Monitor) read(conn io.Reader, greeted chan struct{}) {
	dec := json.NewDecoder(bufio.NewReader(conn))
	var err error
	for {
		// Each message has a buffer of its own, for its bytes are handed out.
		var raw json.RawMessage
		if err = dec.Decode(&raw); err != nil {
			break
		}
		var head struct {
			QMP   json.RawMessage
			Event string
			ID    string
		}
		if err = json.Unmarshal(raw, &head); err != nil {
			break
		}
		switch {
		case head.QMP != nil:
			close(greeted)
		case head.Event != "":
			var e Event
			if err = json.Unmarshal(raw, &e); err == nil {
				m.publish(e)
			}
		default:
			m.mu.Lock()
			ch := m.waiting[head.ID]
			delete(m.waiting, head.ID)
			m.mu.Unlock()
			if ch != nil {
				ch <- reply{raw: raw}
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = fmt.Errorf("%w: %w", ErrClosed, err)
	for id, ch := range m.waiting {
		ch <- reply{err: m.err}
		delete(m.waiting, id)
	}
	close(m.done)
}

func (m *Monitor) publish(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.subs) == 0 {
		m.early = append(m.early, e)
		return
	}
	for q := range m.subs {
		q.push(e)
	}
}

// queue is an unbounded queue with a wake-up channel.
type queue struct {
	mu    sync.Mutex
	items []Event
	ready chan struct{}
}

func newQueue(items []Event) *queue {
	return &queue{items: items, ready: make(chan struct{}, 1)}
}

func (q *queue) push(e Event) {
	q.mu.Lock()
	q.items = append(q.items, e)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) pop() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return Event{}, false
	}
	e := q.items[0]
	q.items = q.items[1:]
	return e, true
}
