// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/pool"
	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/workdir"
)

// Bounds of a worker's start and end. A start makes the configured functions'
// containers first; emulated guests need seconds for each.
const (
	readyLimit = 10 * time.Minute
	// Requests may finish; then containers end, also those that were starting; then what is left is removed.
	endLimit = api.DrainLimit + 2*sandbox.Deadline + pool.ReapLimit + 30*time.Second
)

// foreground runs the worker until a signal ends it. Its log goes to stderr.
func (c *cli) foreground(cfg config.Config) error {
	if err := workdir.Claim(cfg); err != nil {
		return err
	}
	defer os.Remove(workdir.PIDFile(cfg))
	// The other commands find a worker with -o by config.json.overrides (readRunning).
	err := os.Remove(c.overridesPath())
	if c.overrides != "" {
		err = cfg.Write(c.overridesPath())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, err := newWorker(cfg, logger(cfg, c.stderr))
	if err != nil {
		return err
	}
	return w.Serve(ctx)
}

// logger is a log to the writer, with log_format and log_level of cfg.
func logger(cfg config.Config, to io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // it was checked
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, o))
	}
	return slog.New(slog.NewTextHandler(to, o))
}

// background runs this program again in a session of its own and returns when
// /pid answers with that process's pid.
func (c *cli) background(cfg config.Config) error {
	if pid, _, err := workdir.Running(cfg); err != nil {
		return err
	} else if pid != 0 {
		return fmt.Errorf("a worker is running already, pid %d (stop it with: ol kill -p %s)", pid, c.path)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"worker", "-p", c.path}
	if c.overrides != "" {
		args = append(args, "-o", c.overrides)
	}
	out, err := os.OpenFile(filepath.Join(c.path, "worker.out"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	before, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	late := time.After(readyLimit)
	shown := before
	for {
		shown = c.progress(out, shown)
		pid, err := askPID(cfg)
		switch {
		case err != nil:
		case pid == cmd.Process.Pid:
			fmt.Fprintln(c.stdout, "ready")
			return nil
		default:
			return errors.Join(fmt.Errorf("expected PID %d but found %d: does another worker have port %s?", cmd.Process.Pid, pid, cfg.WorkerPort),
				cmd.Process.Signal(syscall.SIGTERM))
		}
		select {
		case err := <-died:
			said, _ := io.ReadAll(io.NewSectionReader(out, shown, 1<<16))
			return fmt.Errorf("the worker ended: %v:\n%s", err, bytes.TrimSpace(said))
		case <-late:
			return errors.Join(fmt.Errorf("not ready after %s; see %s", readyLimit, out.Name()), cmd.Process.Signal(syscall.SIGTERM))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// progress shows a starting worker's lines in out, from byte from on, about functions that are
// ready or slow. It returns where the first line begins that may say why the worker ended.
func (c *cli) progress(out *os.File, from int64) int64 {
	said, err := io.ReadAll(io.NewSectionReader(out, from, 1<<16))
	if err != nil {
		return from
	}
	for line := range bytes.Lines(said) {
		if line[len(line)-1] != '\n' {
			break // the rest is to come
		}
		about := bytes.Contains(line, []byte("function is ready")) || bytes.Contains(line, []byte("is slow to start"))
		if !about {
			if bytes.Contains(line, []byte("sandbox is ready")) || bytes.Contains(line, []byte("pulled code")) {
				from += int64(len(line))
				continue
			}
			break
		}
		c.stderr.Write(line)
		from += int64(len(line))
	}
	return from
}

// get asks a worker for one of its paths.
func get(cfg config.Config, path string) (resp *http.Response, body []byte, err error) {
	c := http.Client{Timeout: 10 * time.Second}
	resp, err = c.Get("http://" + cfg.Address() + path)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, body, err
}

func askPID(cfg config.Config) (int, error) {
	_, body, err := get(cfg, "/pid")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(body)))
}

func (c *cli) status() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	resp, body, err := get(cfg, "/status")
	if err != nil {
		return fmt.Errorf("no worker of %s answers: %w (start it with: ol worker -d -p %s)", c.path, err, c.path)
	}
	fmt.Fprintf(c.stdout, "Worker Ping:\n  http://%s/status => %s [%s]\n\n", cfg.Address(), body, resp.Status)
	return nil
}

// kill stops the worker. It is an error if there is no worker.pid.
func (c *cli) kill() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	if _, found, err := workdir.Running(cfg); err != nil {
		return err
	} else if !found {
		return fmt.Errorf("no worker: %s is not there", workdir.PIDFile(cfg))
	}
	return c.stop(cfg)
}

// down stops the worker if there is one.
func (c *cli) down() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	return c.stop(cfg)
}

// stop ends the worker and returns when it has ended. If no worker runs, stop removes the
// containers and the worker.pid that a killed one left.
func (c *cli) stop(cfg config.Config) error {
	pid, err := workdir.Clear(cfg, func() error {
		d, err := docker.New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), pool.ReapLimit)
		defer cancel()
		return d.Reap(ctx)
	})
	if err != nil || pid == 0 {
		return err
	}
	fmt.Fprintf(c.stdout, "Killing worker process with PID %d\n", pid)
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		return fmt.Errorf("stop worker %d: %w", pid, err)
	}
	for late := time.Now().Add(endLimit); time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		if !workdir.Alive(pid) {
			fmt.Fprintln(c.stdout, "OL worker process stopped successfully")
			return nil
		}
	}
	return fmt.Errorf("worker %d does not end within %s; see %s", pid, endLimit, filepath.Join(c.path, "worker.out"))
}

// newWorker is a worker on Docker. It sets this process's GOGC unless the environment does.
func newWorker(cfg config.Config, log *slog.Logger) (*api.Worker, error) {
	d, err := docker.New(cfg, log)
	if err != nil {
		return nil, err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(api.GCPercent)
	}
	return api.New(cfg, d, log), nil
}
