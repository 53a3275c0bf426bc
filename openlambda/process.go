package openlambda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Bounds of a worker's start and end. A start makes the configured functions'
// containers first; emulated machines need seconds for each.
const (
	readyLimit = 10 * time.Minute
	reapLimit  = time.Minute
	// Requests end, then containers, also those that were starting; then what is left.
	endLimit = drainLimit + 2*deadline + reapLimit + 30*time.Second
)

// alive says whether a process exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// running returns the pid in worker.pid if its process lives, else 0. found
// says whether there is such a file; one that no worker has written is an error.
func running(c config.Config) (pid int, found bool, err error) {
	data, err := os.ReadFile(pidFile(c))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, true, err
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 {
		return 0, true, fmt.Errorf("%s holds %.20q, which no worker has written: remove it, or choose another worker_dir", pidFile(c), data)
	}
	st, err := os.Stat(pidFile(c))
	if err != nil {
		return 0, false, nil // removed at this moment
	}
	if !alive(pid) || startedAfter(pid, st.ModTime()) {
		return 0, true, nil
	}
	return pid, true, nil
}

// startedAfter says whether a process began after a moment, by more than the
// kernel's clocks may differ: then it is another one than had its number then.
func startedAfter(pid int, moment time.Time) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return false
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third field on
	if len(f) < 20 {
		return false
	}
	ticks, err := strconv.ParseInt(f[19], 10, 64) // field 22, since boot, 100 a second
	if err != nil {
		return false
	}
	var up float64
	if _, err := fmt.Sscan(string(uptime), &up); err != nil {
		return false
	}
	age := time.Duration(up*float64(time.Second)) - time.Duration(ticks)*10*time.Millisecond
	return time.Now().Add(-age).After(moment.Add(2 * time.Second))
}

// claim writes worker.pid. One whose process lives is refused, one whose
// process does not is replaced.
func claim(c config.Config) error {
	if err := os.MkdirAll(c.WorkerDir, 0o700); err != nil {
		return fmt.Errorf("worker_dir: %w", err)
	}
	path := pidFile(c)
	for range 2 {
		pid, found, err := running(c)
		if err != nil {
			return err
		}
		if pid != 0 {
			return fmt.Errorf("a worker may be running already: %s names process %d (stop it with ol kill, or remove the file if that is none)", path, pid)
		}
		if found {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		// Linked, not written: nobody sees the file without its number, and of
		// two workers one wins.
		mine := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := os.WriteFile(mine, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return err
		}
		err = os.Link(mine, path)
		if err := errors.Join(os.Remove(mine), err); err == nil || !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("another worker starts in %s at this moment", c.WorkerDir)
}

// foreground runs the worker until a signal ends it.
func foreground(cfg config.Config, stderr io.Writer) error {
	if err := claim(cfg); err != nil {
		return err
	}
	defer os.Remove(pidFile(cfg))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, err := NewWorker(cfg, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	return w.Serve(ctx)
}

// background runs this program again in a session of its own and returns when
// /pid answers with that process's pid.
func (c *cli) background(cfg config.Config) error {
	if pid, _, err := running(cfg); err != nil {
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
	for {
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
			said, _ := io.ReadAll(io.NewSectionReader(out, before, 1<<16))
			return fmt.Errorf("the worker ended: %v:\n%s", err, bytes.TrimSpace(said))
		case <-late:
			return errors.Join(fmt.Errorf("not ready after %s; see %s", readyLimit, out.Name()), cmd.Process.Signal(syscall.SIGTERM))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// get asks a worker for one of its paths.
func get(cfg config.Config, path string) (resp *http.Response, body []byte, err error) {
	c := http.Client{Timeout: 10 * time.Second}
	resp, err = c.Get("http://" + address(cfg) + path)
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
	cfg, err := c.read()
	if err != nil {
		return err
	}
	resp, body, err := get(cfg, "/status")
	if err != nil {
		return fmt.Errorf("no worker answers: %w", err)
	}
	fmt.Fprintf(c.stdout, "Worker Ping:\n  http://%s/status => %s [%s]\n\n", address(cfg), body, resp.Status)
	return nil
}

// kill stops the worker; that there is none is an error.
func (c *cli) kill() error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	if _, found, err := running(cfg); err != nil {
		return err
	} else if !found {
		return fmt.Errorf("no worker: %s is not there", pidFile(cfg))
	}
	return c.stop(cfg)
}

// down stops the worker if there is one.
func (c *cli) down() error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	return c.stop(cfg)
}

// stop ends the worker and returns when it has. One that was killed leaves its
// containers; they go as well.
func (c *cli) stop(cfg config.Config) error {
	pid, _, err := running(cfg)
	if err != nil {
		return err
	}
	if pid == 0 {
		d, err := newDocker(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), reapLimit)
		defer cancel()
		if err := d.reap(ctx); err != nil {
			return err
		}
		if err := os.Remove(pidFile(cfg)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	fmt.Fprintf(c.stdout, "Killing worker process with PID %d\n", pid)
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		return fmt.Errorf("stop worker %d: %w", pid, err)
	}
	for late := time.Now().Add(endLimit); time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		if !alive(pid) {
			fmt.Fprintln(c.stdout, "OL worker process stopped successfully")
			return nil
		}
	}
	return fmt.Errorf("worker %d does not end within %s; see %s", pid, endLimit, filepath.Join(c.path, "worker.out"))
}
