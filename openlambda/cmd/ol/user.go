// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/pool"
	"github.com/ds2-lab/alps/openlambda/registry"
)

type invokeFlags struct{ data, file, method, path string }

func (c *cli) invokeFlags(fs *flag.FlagSet) {
	f := &c.call
	fs.StringVar(&f.data, "d", "", "body; without it and -f there is none")
	fs.StringVar(&f.file, "f", "", "file with the body; - is stdin")
	fs.StringVar(&f.method, "X", http.MethodPost, "method")
	fs.StringVar(&f.path, "u", "", "path below the function's, and query: /info?x=1")
}

// invoke calls a function. The answer's body goes to stdout. A redirect is not followed:
// stderr names its target. A status from 400 on is an error, too.
func (c *cli) invoke() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	f := c.call
	var body io.Reader = strings.NewReader(f.data)
	switch {
	case f.file != "" && f.data != "":
		return errors.New("-d and -f: give one")
	case f.file == "-":
		body = os.Stdin
	case f.file != "":
		file, err := os.Open(f.file)
		if err != nil {
			return err
		}
		defer file.Close()
		body = file
	}
	if f.path != "" && !strings.HasPrefix(f.path, "/") && !strings.HasPrefix(f.path, "?") {
		f.path = "/" + f.path
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, f.method, "http://"+cfg.Address()+"/run/"+c.arg+f.path, body)
	if err != nil {
		return err
	}
	asSent := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := asSent.Do(req)
	if err != nil {
		return fmt.Errorf("no worker of %s answers: %w (start it with: ol worker -d -p %s)", c.path, err, c.path)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(c.stdout, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s: %s (request %s; see: ol logs %s -p %s)", c.arg, resp.Status, resp.Header.Get("X-Request-Id"), c.arg, c.path)
	}
	if to := resp.Header.Get("Location"); resp.StatusCode >= 300 && to != "" {
		fmt.Fprintf(c.stderr, "%s: %s: Location: %s\n", c.arg, resp.Status, to)
	}
	return nil
}

// list prints the functions of the registry, and what the worker knows of them.
func (c *cli) list() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	known := map[string][]pool.Listed{}
	if _, body, err := get(cfg, "/functions"); err == nil {
		var list []pool.Listed
		if err := json.Unmarshal(body, &list); err != nil {
			return fmt.Errorf("the worker's /functions: %w", err)
		}
		for _, l := range list {
			known[l.Name] = append(known[l.Name], l)
		}
	} else {
		fmt.Fprintf(c.stderr, "no worker of %s answers: what is warm is not known\n", c.path)
	}
	r := registry.New(cfg.Registry, "")
	names, err := r.Names()
	if err != nil && !errors.Is(err, registry.ErrNoList) {
		return err
	}
	for name := range known {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FUNCTION\tUID\tPORT\tMETHODS\tCRON\tRUNNING\tPAUSED\tWAITING\t")
	for _, name := range names {
		methods, crons, note := "*", "", ""
		if says, _, err := r.Peek(name, ""); err == nil {
			methods = strings.Join(says.Allowed, ",")
			for i, s := range says.Cron {
				crons += strings.Repeat("; ", min(i, 1)) + s.Text
			}
		} else if !errors.Is(err, registry.ErrNotFound) {
			note = oneLine(err.Error())
		}
		rows := known[name]
		if rows == nil {
			rows = []pool.Listed{{Name: name, UID: config.UIDOf(name, 0)}}
		}
		for _, l := range rows {
			if l.Refused != "" {
				note = oneLine(l.Refused)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", name, l.UID, l.Port, methods, crons, l.Running, l.Paused, l.Waiting, note)
		}
	}
	return w.Flush()
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }

// logs prints the worker's lines about a function, then what its containers wrote. With -f
// it goes on with both until a signal ends it.
func (c *cli) logs() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	if !config.ValidName(c.arg) {
		return fmt.Errorf("%q is no function's name", c.arg)
	}
	d, err := docker.New(cfg, logger(cfg, c.stderr))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	out := &lockedWriter{w: c.stdout}
	lines := &workerLines{path: filepath.Join(c.path, "worker.out"), function: c.arg, out: out}
	defer lines.close()
	if err := lines.print(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Logs(ctx, c.arg, c.follow, out) })
	if c.follow {
		g.Go(func() error { return lines.follow(ctx) })
	}
	return g.Wait()
}
