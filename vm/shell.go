// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// Shell gives in, out and errOut to a login shell in the guest until the shell ends. If
// in is a terminal, the shell has a terminal of the same size, which follows changes,
// and all keys, Ctrl-C too, go to the guest. Errors are those of Run.
func (g *Guest) Shell(ctx context.Context, in, out, errOut *os.File) error {
	s, err := g.session(ctx)
	if err != nil {
		return fmt.Errorf("guest: shell: %w", err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-g.Gone():
			s.Close()
		case <-ended:
		}
	}()
	s.Stdout, s.Stderr = out, errOut
	if err := feed(s, in); err != nil {
		return fmt.Errorf("guest: shell: %w: %w", ErrGone, err)
	}
	if fd := int(in.Fd()); term.IsTerminal(fd) {
		restore, err := terminal(s, fd)
		if err != nil {
			return err
		}
		defer restore()
	}
	if err := s.Shell(); err != nil {
		return fmt.Errorf("guest: shell: %w", err)
	}
	return g.explain("shell", s.Wait(), "")
}

// terminal gives the session a terminal like fd, and has fd pass every key on, until
// restore.
func terminal(s *ssh.Session, fd int) (restore func(), err error) {
	width, height, err := term.GetSize(fd)
	if err != nil || width == 0 {
		width, height = 80, 24
	}
	name := os.Getenv("TERM")
	if name == "" {
		name = "vt100"
	}
	if err := s.RequestPty(name, height, width, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
		return nil, fmt.Errorf("guest: terminal: %w", err)
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("vm: set the terminal to raw: %w", err)
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	go func() {
		for range resized {
			if w, h, err := term.GetSize(fd); err == nil {
				_ = s.WindowChange(h, w) // it fails when the session has ended, which Shell sees
			}
		}
	}()
	return func() {
		signal.Stop(resized)
		close(resized)
		_ = term.Restore(fd, old)
	}, nil
}
