package openlambda

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

const usage = `ol: a worker compatible with OpenLambda's Docker sandbox

  ol init [-p PATH]                          make a directory with config.json
  ol worker [-p PATH] [-o key=value,…] [-d]  run the worker; -d: in the background
  ol status [-p PATH]                        is it running?
  ol kill [-p PATH]                          stop it
  ol functions init [-p PATH] [-ports 5002,…] [-invocation fork|exec] [-cpus LIST]
                                             start the artifact's functions, one port each
  ol functions delete [-p PATH]              stop them and remove their containers

PATH is ./default-ol unless given; for functions it is /run/ol.
`

// Artifact is the functions of the ALPS artifact by port, with the UIDs it
// gives them (6 twice). The traces name the function of ten of the ports; the
// other five (5001, 5005, 5015, 5016, 5017) appear in none, and serve fib.
var Artifact = []Function{
	{"fib", "1", "5001"}, {"fib", "3", "5002"}, {"fib", "6", "5005"}, {"fib", "6", "5006"},
	{"graphBfs", "8", "5008"}, {"graphMst", "9", "5009"}, {"graphPagerank", "10", "5010"}, {"fib", "11", "5011"},
	{"featureExtractor", "14", "5014"}, {"fib", "15", "5015"}, {"fib", "16", "5016"}, {"fib", "17", "5017"},
	{"fib", "18", "5018"}, {"floatOperation", "20", "5020"}, {"fib", "21", "5021"},
}

// Main is the command ol. It returns the exit code: 1 for errors, 3 for a
// command that does not exist.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "help" || args[0] == "--help" {
		io.WriteString(stdout, usage)
		return 0
	}
	name, rest := args[0], args[1:]
	def := "default-ol"
	if name == "functions" {
		if len(rest) == 0 {
			io.WriteString(stderr, usage)
			return 3
		}
		name, rest, def = "functions "+rest[0], rest[1:], "/run/ol"
	}
	if name == "worker" && len(rest) > 0 && (rest[0] == "up" || rest[0] == "down") {
		name, rest = map[string]string{"up": "worker", "down": "kill"}[rest[0]], rest[1:]
	}
	commands := map[string]func(*cli) error{
		"init": (*cli).init, "new": (*cli).init, "worker": (*cli).worker, "status": (*cli).status, "kill": (*cli).kill,
		"functions init": (*cli).functionsInit, "functions delete": (*cli).kill,
	}
	run, ok := commands[name]
	if !ok {
		fmt.Fprintf(stderr, "ol: unknown command %q\n%s", name, usage)
		return 3
	}
	c := &cli{stdout: stdout, stderr: stderr}
	fs := flag.NewFlagSet("ol "+name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&c.path, "p", def, "the worker's directory")
	fs.StringVar(&c.overrides, "o", "", "key=value,… over config.json")
	fs.BoolVar(&c.detach, "d", false, "run in the background")
	fs.StringVar(&c.ports, "ports", "", "only these ports (default: all fifteen)")
	fs.StringVar(&c.invocation, "invocation", "fork", "fork or exec")
	fs.StringVar(&c.cpus, "cpus", "", "CPUs of alps.slice, such as 1-3 (default: all)")
	fs.StringVar(&c.registry, "registry", "/opt/alps/registry", "directory of the functions")
	if err := fs.Parse(rest); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil || fs.NArg() > 0 {
		fmt.Fprintf(stderr, "ol %s: unexpected argument %v\n", name, fs.Args())
		return 1
	}
	if err := run(c); err != nil {
		fmt.Fprintf(stderr, "%s ol %s: %v\n", time.Now().Format(time.DateTime), name, err)
		return 1
	}
	return 0
}

type cli struct {
	stdout, stderr                                     io.Writer
	path, overrides, ports, invocation, cpus, registry string
	detach                                             bool
}

func (c *cli) configPath() string { return filepath.Join(c.path, "config.json") }

func (c *cli) config() (Config, error) {
	var o []string
	if c.overrides != "" {
		o = strings.Split(c.overrides, ",")
	}
	return ReadConfig(c.configPath(), o)
}

func (c *cli) init() error {
	dir, err := filepath.Abs(c.path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.configPath()); err == nil {
		return fmt.Errorf("%s is there already", c.configPath())
	}
	return writeConfig(DefaultConfig(dir), dir)
}

func writeConfig(cfg Config, dir string) error {
	for _, d := range []string{cfg.WorkerDir, filepath.Join(dir, "registry")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(cfg, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "config.json"), append(data, '\n'), 0o600)
}

// running returns the pid of the live worker, 0 if there is none.
func running(cfg Config) int {
	data, err := os.ReadFile(pidFile(cfg))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

func (c *cli) worker() error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if pid := running(cfg); pid != 0 {
		return fmt.Errorf("a worker is running already, pid %d (stop it with: ol kill -p %s)", pid, c.path)
	}
	if err := os.MkdirAll(cfg.WorkerDir, 0o755); err != nil {
		return err
	}
	if c.detach {
		return c.background(cfg)
	}
	if err := os.WriteFile(pidFile(cfg), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	defer os.Remove(pidFile(cfg))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	w, err := NewWorker(cfg, slog.New(slog.NewTextHandler(c.stderr, nil)))
	if err != nil {
		return err
	}
	return w.Serve(ctx)
}

// background runs the worker as a child in a session of its own and returns
// when it is ready.
func (c *cli) background(cfg Config) error {
	out, err := os.OpenFile(filepath.Join(c.path, "worker.out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	size, _ := out.Seek(0, io.SeekEnd)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "worker", "-p", c.path, "-o", c.overrides)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	url := "http://" + net.JoinHostPort(cfg.WorkerURL, cfg.WorkerPort) + "/pid"
	for {
		if resp, err := http.Get(url); err == nil {
			data, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(data) == strconv.Itoa(cmd.Process.Pid) {
				fmt.Fprintln(c.stdout, "ready")
				return nil
			}
		}
		select {
		case err := <-died:
			data, _ := os.ReadFile(out.Name())
			return fmt.Errorf("the worker ended: %v:\n%s", err, data[min(size, int64(len(data))):])
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *cli) status() error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	resp, err := http.Get("http://" + net.JoinHostPort(cfg.WorkerURL, cfg.WorkerPort) + "/status")
	if err != nil {
		return fmt.Errorf("no worker answers: %w", err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(c.stdout, resp.Body)
	return err
}

func (c *cli) kill() error {
	cfg, err := c.config()
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil // nothing was ever started
		}
		return err
	}
	pid := running(cfg)
	if pid == 0 {
		os.Remove(pidFile(cfg))
		// A worker that was killed leaves its containers.
		d, err := newDocker(cfg)
		if err != nil {
			return err
		}
		return d.reap(context.Background())
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop worker %d: %w", pid, err)
	}
	for range 600 {
		if running(cfg) == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("worker %d does not end; see %s", pid, filepath.Join(c.path, "worker.out"))
}

// functionsInit starts one worker with the artifact's functions. If the same
// ones are running it does nothing; if others are, it replaces them.
func (c *cli) functionsInit() error {
	want := map[string]bool{}
	for _, p := range strings.FieldsFunc(c.ports, func(r rune) bool { return r == ',' }) {
		want[p] = true
	}
	dir, err := filepath.Abs(c.path)
	if err != nil {
		return err
	}
	cfg := DefaultConfig(dir)
	cfg.Invocation, cfg.Registry = c.invocation, c.registry
	all := len(want) == 0
	for _, f := range Artifact {
		if all || want[f.Port] {
			cfg.Functions = append(cfg.Functions, f)
			delete(want, f.Port)
		}
	}
	for p := range want {
		return fmt.Errorf("-ports: %s serves no function; allowed: 5001, 5002, 5005, 5006, 5008 to 5011, 5014 to 5018, 5020, 5021", p)
	}
	if err := cfg.check("functions"); err != nil {
		return err
	}
	if c.cpus != "" {
		out, err := exec.Command("systemctl", "set-property", "--runtime", cfg.CgroupParent, "AllowedCPUs="+c.cpus).CombinedOutput()
		if err != nil {
			return fmt.Errorf("CPUs of %s: %w: %s", cfg.CgroupParent, err, out)
		}
	}
	old, err := os.ReadFile(c.configPath())
	next, _ := json.MarshalIndent(cfg, "", "\t")
	if err == nil && running(cfg) != 0 {
		if string(old) == string(next)+"\n" {
			fmt.Fprintln(c.stdout, "ready")
			return nil
		}
		if err := c.kill(); err != nil {
			return err
		}
	}
	if err := writeConfig(cfg, dir); err != nil {
		return err
	}
	return c.background(cfg)
}
