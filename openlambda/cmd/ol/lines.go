// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ds2-lab/alps/openlambda/docker"
)

// lockedWriter lets several goroutines write to w, one Write at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// workerLines are the lines about a function in the output of a worker in the background.
type workerLines struct {
	path, function string
	out            io.Writer

	file *os.File // nil until path is there
	r    *bufio.Reader
	part string // of a line whose end is not written yet
}

// print writes to out the lines that have come since it was called last.
func (l *workerLines) print() error {
	if l.file == nil {
		file, err := os.Open(l.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		l.file, l.r = file, bufio.NewReader(file)
	}
	for {
		text, err := l.r.ReadString('\n')
		l.part += text
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line := strings.TrimSuffix(l.part, "\n")
		l.part = ""
		if strings.Contains(line+" ", "function="+l.function+" ") || strings.Contains(line, `"function":"`+l.function+`"`) {
			if _, err := fmt.Fprintln(l.out, line); err != nil {
				return err
			}
		}
	}
}

// follow prints lines as they come, until ctx ends.
func (l *workerLines) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(docker.LookEvery):
		}
		if err := l.print(); err != nil {
			return err
		}
	}
}

func (l *workerLines) close() {
	if l.file != nil {
		l.file.Close()
	}
}
