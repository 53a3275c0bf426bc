// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Cmd is a command for the guest's shell, run as root.
type Cmd struct {
	Line           string
	Stdin          io.Reader // nil: empty
	Stdout, Stderr io.Writer // nil: thrown away
}

// Quote makes one word of s for a shell, the guest's or the host's.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// ExitError is a guest command that ended with another code than 0.
type ExitError struct {
	Line   string
	Code   int    // 128 + signal for a killed one
	Stderr string // the last 2 KiB
}

func (e *ExitError) Error() string {
	msg := fmt.Sprintf("guest: %s: exit code %d", e.Line, e.Code)
	if s := strings.TrimSpace(e.Stderr); s != "" {
		msg += ": " + s
	}
	return msg
}

// ErrGone means that the guest went away under a command.
var ErrGone = errors.New("the guest is gone")

// bannerLimit is how long sshd may take to greet at the first try. QEMU accepts a
// connection before the guest can, and then tries to reach the guest less and less
// often: a new connection reaches it sooner than an old one.
const bannerLimit = 700 * time.Millisecond

// mostBanner is how long sshd may take to greet after many tries.
const mostBanner = 5 * time.Minute

// dial connects to sshd behind a port of the loopback. sshd may take banner to greet.
// When ctx ends before dial returns, the connection is closed and the error is ctx's
// cause.
func dial(ctx context.Context, port int, banner time.Duration) (_ *ssh.Client, err error) {
	key, err := KeyPair()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", addr)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		if !stop() {
			err = context.Cause(ctx)
		}
	}()
	conn.SetDeadline(time.Now().Add(banner))
	in := bufio.NewReader(conn)
	if _, err := in.Peek(1); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c, chans, reqs, err := ssh.NewClientConn(greeted{conn, in}, addr, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		// It is the loopback of this host, and a guest made with this cache.
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, chans, reqs), nil
}

// untilAnswered dials until it gets a connection or ctx ends. A connection that nobody
// takes from the channel before ctx ends is closed. Each try has a quarter more time than
// the one before, so that a slow guest does not drown in connections that were given up.
func untilAnswered[C io.Closer](ctx context.Context, dial func(ctx context.Context, banner time.Duration) (C, error)) <-chan C {
	answered := make(chan C)
	go func() {
		for banner := bannerLimit; ctx.Err() == nil; banner += banner / 4 {
			if client, err := dial(ctx, min(banner, mostBanner)); err == nil {
				select {
				case answered <- client:
				case <-ctx.Done():
					client.Close()
				}
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return answered
}

// greeted is a connection of which something was read ahead.
type greeted struct {
	net.Conn
	in *bufio.Reader
}

func (g greeted) Read(p []byte) (int, error) { return g.in.Read(p) }

// Run runs c in the guest. The error is an *ExitError if c ended with another code than
// 0, wraps ErrGone, and the *Fault if there was one, if the guest went away, and wraps
// ctx's cause if ctx ended.
func (g *Guest) Run(ctx context.Context, c Cmd) error {
	s, err := g.session(ctx)
	if err != nil {
		return fmt.Errorf("guest: %s: %w", c.Line, err)
	}
	defer s.Close()
	tail := &tailBuffer{}
	s.Stdout, s.Stderr = c.Stdout, io.MultiWriter(orDiscard(c.Stderr), tail)
	if err := feed(s, c.Stdin); err != nil {
		return fmt.Errorf("guest: %s: %w: %w", c.Line, ErrGone, err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(c.Line) }()
	select {
	case err = <-done:
	case <-g.Gone():
		err = errors.New("it was shut down")
	case <-ctx.Done():
		// sshd answers a close only when the command has ended: do not wait for that.
		s.Signal(ssh.SIGTERM)
		return fmt.Errorf("guest: %s: %w", c.Line, context.Cause(ctx))
	}
	return g.explain(c.Line, err, tail.String())
}

// feed copies in to the session's standard input. If the session itself had the reader,
// it would wait for the reader's end, and a terminal has none.
func feed(s *ssh.Session, in io.Reader) error {
	if in == nil {
		return nil
	}
	pipe, err := s.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		io.Copy(pipe, in)
		pipe.Close()
	}()
	return nil
}

func (g *Guest) explain(line string, err error, stderr string) error {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		code := exit.ExitStatus()
		if exit.Signal() != "" && code == 0 {
			code = 128
		}
		return &ExitError{Line: line, Code: code, Stderr: stderr}
	}
	// A guest that died is reported by how it died, once that is known.
	select {
	case <-g.Gone():
		if fault := g.Fault(); fault != nil {
			err = fault
		}
	case <-time.After(faultDelay):
	}
	return fmt.Errorf("guest: %s: %w: %w", line, ErrGone, err)
}

// faultDelay is how much later than a broken connection its cause may come.
const faultDelay = time.Second

// session opens a session, which a guest that froze never grants.
func (g *Guest) session(ctx context.Context) (*ssh.Session, error) {
	type result struct {
		s   *ssh.Session
		err error
	}
	got := make(chan result, 1)
	go func() {
		s, err := g.client.NewSession()
		got <- result{s, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGone, r.err)
		}
		return r.s, nil
	case <-g.Gone():
		return nil, errors.Join(ErrGone, g.Fault())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// answerLimit is how long a guest that lives may take to run a small command.
const answerLimit = 15 * time.Second

// Froze reports whether the guest runs no commands any more although it has not died
// otherwise than by its watchdog.
func (g *Guest) Froze(ctx context.Context) bool {
	var fault *Fault
	if errors.As(g.Fault(), &fault) {
		return fault.Frozen
	}
	_, err := g.LastWords(ctx, "true")
	return err != nil
}

// LastWords runs line, for a message about a failure, and returns its output. It takes
// answerLimit at most, as Patience has it, and runs even if ctx has ended.
func (g *Guest) LastWords(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.Config.Patience(answerLimit))
	defer cancel()
	return g.Output(ctx, line)
}

// Output runs line and returns what it wrote to standard output, trimmed.
func (g *Guest) Output(ctx context.Context, line string) (string, error) {
	var b strings.Builder
	err := g.Run(ctx, Cmd{Line: line, Stdout: &b})
	return strings.TrimSpace(b.String()), err
}

// WaitDocker waits until dockerd answers, for as long as Patience makes of limit.
func (g *Guest) WaitDocker(ctx context.Context, limit time.Duration) error {
	limit = g.Config.Patience(limit)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		_, err := g.Output(ctx, "docker version --format '{{.Server.Version}}'")
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			log, _ := g.LastWords(ctx, "journalctl -u docker -n 15 --no-pager -o cat")
			return fmt.Errorf("guest: Docker is not up after %s:\n%s", limit, log)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Info is what the guest says of itself.
type Info struct {
	KernelRelease string // uname -r
	CPUs          int
	Docker        string // version of dockerd
}

// Info asks the guest, in which dockerd must run.
func (g *Guest) Info(ctx context.Context) (Info, error) {
	out, err := g.Output(ctx, "uname -r; nproc --all; docker version --format '{{.Server.Version}}'")
	if err != nil {
		return Info{}, err
	}
	f := strings.Fields(out)
	if len(f) != 3 {
		return Info{}, fmt.Errorf("guest: unexpected answer %q", out)
	}
	n, err := strconv.Atoi(f[1])
	return Info{KernelRelease: f[0], CPUs: n, Docker: f[2]}, err
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// tailBuffer keeps the last 2 KiB that are written to it.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - 2048; n > 0 {
		t.b = t.b[n:]
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
