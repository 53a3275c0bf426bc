// SPDX-License-Identifier: Apache-2.0

// Package command runs child processes so that none survives its parent.
//
// Every child leads a process group of its own and, unless it is detached, is
// killed by the kernel when the parent dies (PR_SET_PDEATHSIG). When the context
// ends the whole group gets SIGTERM. As soon as the child has ended, after five
// seconds at the latest, the rest of the group gets SIGKILL.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// grace is how long a child may live on after SIGTERM before it gets SIGKILL.
const grace = 5 * time.Second

// tailBytes is how many bytes of a child's output an Error keeps: the last ones.
const tailBytes = 4096

// Cmd describes a child process.
type Cmd struct {
	Args           []string // program and arguments; required
	Dir            string   // working directory; "" is the parent's
	Env            []string // added to the parent's environment
	Stdin          io.Reader
	Stdout, Stderr io.Writer // nil discards, but Error.Tail still has the end

	Files []*os.File // the child has them as descriptors 3 and up

	// Detached lets the child outlive this process and its terminal. Its
	// output goes to Stdout and Stderr if they are files, else nowhere, and
	// Error.Tail has none of it.
	Detached bool
}

// Error is a child that could not be started or exited other than with 0.
type Error struct {
	Args []string
	Tail string // the last output, standard output and error mixed as they came; at most 4 KiB
	Err  error  // an *exec.ExitError, or why the child did not start
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %v", e.Args[0], e.Err)
	if line := lastLine(e.Tail); line != "" {
		msg += ": " + line
	}
	return msg
}

func (e *Error) Unwrap() error { return e.Err }

// Run runs c to its end. The error is an *Error, which also wraps the cause of the
// context's end (context.Cause) if the context has ended.
func Run(ctx context.Context, c Cmd) error {
	p, err := Start(ctx, c)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Process is a child under way.
type Process struct {
	PID int

	done chan struct{}
	err  error // after done
}

// Wait waits for the child's end; see Run for the error.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Start starts c. When ctx ends the child is ended; a detached one as well, as
// long as this process lives.
func Start(ctx context.Context, c Cmd) (*Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("command: no program given")
	}
	tail := &tailWriter{}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Stdin = c.Stdin
	cmd.ExtraFiles = c.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// The child's two streams may be copied by two goroutines; the tail locks.
	cmd.Stdout = tee(c.Stdout, tail)
	cmd.Stderr = tee(c.Stderr, tail)
	if c.Detached {
		// No pipe to us may remain.
		cmd.Stdout, cmd.Stderr = file(c.Stdout), file(c.Stderr)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if len(c.Env) > 0 {
		cmd.Env = append(os.Environ(), c.Env...)
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace

	explain := func(err error) error {
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return &Error{Args: c.Args, Tail: tail.String(), Err: err}
	}
	p := &Process{done: make(chan struct{})}
	started := make(chan error, 1)
	// PDEATHSIG fires when the *thread* that forked dies, so the thread must
	// live as long as the child.
	go onThread(func() {
		defer close(p.done)
		err := cmd.Start()
		if err == nil {
			p.PID = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		if ctx.Err() != nil {
			// Grandchildren that ignored SIGTERM.
			_ = syscall.Kill(-p.PID, syscall.SIGKILL)
		}
		p.err = explain(err)
	})
	if err := <-started; err != nil {
		return nil, explain(err)
	}
	return p, nil
}

// file is w if it is a file; for any other writer package exec would make a pipe to this process.
func file(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok {
		return f
	}
	return nil
}

// Output runs c and returns what it wrote to standard output, also if there is an
// error; see Run. c.Stdout gets the same.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = tee(c.Stdout, &out)
	err := Run(ctx, c)
	return out.Bytes(), err
}

func tee(w io.Writer, also io.Writer) io.Writer {
	if w == nil {
		return also
	}
	return io.MultiWriter(w, also)
}

func lastLine(s string) string {
	s = strings.TrimRight(s, " \t\r\n")
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
