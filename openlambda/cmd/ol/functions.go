// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ds2-lab/alps/openlambda/artifact"
	"github.com/ds2-lab/alps/openlambda/client"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/pool"
)

// How the artifact's functions are served.
const (
	likeOne      = "one"      // by one worker with a port for each
	likeArtifact = "artifact" // by a worker each
)

type functionFlags struct {
	ports, invocation, sched, cpus, registry, like, binary string
	platformUS                                             int
}

func (c *cli) functionsFlags(fs *flag.FlagSet) {
	f := &c.functions
	fs.StringVar(&f.ports, "ports", "", "only these ports (default: all fifteen)")
	fs.StringVar(&f.invocation, "invocation", config.Fork, "fork or exec")
	fs.StringVar(&f.sched, "sched", "normal", "normal, fifo or rr")
	fs.IntVar(&f.platformUS, "platform-us", 0, "CPU time in µs that a container uses for each request beside its own, to model a platform that needs more")
	fs.StringVar(&f.cpus, "cpus", "", "CPUs of alps.slice, such as 1-3 (default: all)")
	fs.StringVar(&f.registry, "registry", "/opt/alps/registry", "directory of the functions")
	fs.StringVar(&f.like, "like", likeOne, "one: one worker; artifact: one worker per function")
	fs.StringVar(&f.binary, "binary", "", "start the workers with this ol; implies -like=artifact")
}

// chosen are the functions that -ports names.
func (f functionFlags) chosen() ([]config.Function, error) {
	if f.ports == "" {
		return artifact.Functions, nil
	}
	var out []config.Function
	var all []string
	want := map[string]bool{}
	for p := range strings.SplitSeq(f.ports, ",") {
		want[p] = true
	}
	for _, g := range artifact.Functions {
		all = append(all, g.Port)
		if want[g.Port] {
			out = append(out, g)
			delete(want, g.Port)
		}
	}
	for p := range want {
		return nil, fmt.Errorf("-ports: %q serves no function; allowed: %s", p, strings.Join(all, ", "))
	}
	return out, nil
}

// functionsInit starts workers for the artifact's functions. A worker that runs already
// with the wanted configuration stays; one with another configuration is replaced.
func (c *cli) functionsInit() error {
	f := c.functions
	chosen, err := f.chosen()
	if err != nil {
		return err
	}
	if f.invocation != config.Fork && f.invocation != config.Exec {
		return fmt.Errorf("-invocation: %q: allowed: %s, %s", f.invocation, config.Fork, config.Exec)
	}
	base := config.Default(c.path)
	base.Limits = config.Limits{} // a limit would change what is measured
	base.Invocation, base.Registry, base.Sched, base.Network, base.LogOutput = f.invocation, f.registry, f.sched, "none", false
	base.Concurrency, base.PlatformUS = config.Unlimited, f.platformUS
	want := map[string]config.Config{} // by directory
	switch {
	case f.binary != "" || f.like == likeArtifact:
		for _, g := range chosen {
			dir := filepath.Join(c.path, g.Port)
			cfg := base
			cfg.WorkerDir, cfg.PkgsDir = filepath.Join(dir, "worker"), filepath.Join(dir, "packages")
			cfg.WorkerPort, cfg.FunctionName, cfg.SealPriority = g.Port, g.Name, g.UID
			if f.binary != "" {
				cfg.Limits.MaxRuntimeDefault = 24 * 60 * 60 // upstream ends an invocation at once if it is 0
			}
			want[dir] = cfg
		}
	case f.like == likeOne:
		base.Functions = chosen
		want[c.path] = base
	default:
		return fmt.Errorf("-like: %q: allowed: %s, %s", f.like, likeOne, likeArtifact)
	}
	// Nothing is changed before every error that can be known is known.
	for dir, cfg := range want {
		path := c.in(dir).configPath()
		if _, err := os.Stat(path); err == nil && !ofFunctions(path) {
			return fmt.Errorf("%s is not of ol functions init: choose another directory by -p", path)
		}
		if _, err := config.Parse(path, cfg.JSON(), nil); err != nil {
			return err
		}
	}
	if f.cpus != "" {
		out, err := exec.Command("systemctl", "set-property", "--runtime", base.CgroupParent, "AllowedCPUs="+f.cpus).CombinedOutput()
		if err != nil {
			return fmt.Errorf("CPUs of %s: %w: %s", base.CgroupParent, err, out)
		}
	}
	for _, old := range c.functionDirs() {
		if _, keep := want[old]; !keep {
			if err := c.in(old).forget(); err != nil {
				return err
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(pool.StartsAtOnce)
	for dir, cfg := range want {
		g.Go(func() error { return c.in(dir).keep(cfg) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, "ready")
	return nil
}

// in is this command line for another directory, without its output.
func (c *cli) in(dir string) *cli {
	var quiet bytes.Buffer
	return &cli{stdout: &quiet, stderr: c.stderr, path: dir, functions: c.functions}
}

// functionDirs are those of -p and the directories below it whose config.json was
// written by functionsInit.
func (c *cli) functionDirs() []string {
	var dirs []string
	for _, pattern := range []string{c.path, filepath.Join(c.path, "[0-9]*")} {
		files, _ := filepath.Glob(filepath.Join(pattern, "config.json"))
		for _, f := range files {
			if ofFunctions(f) {
				dirs = append(dirs, filepath.Dir(f))
			}
		}
	}
	return dirs
}

// ofFunctions says whether functionsInit has written the config.json at path: one that names
// functions, with no network and no output logged, for a worker in the same directory.
func ofFunctions(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	cfg, err := config.Parse(path, data, nil)
	return err == nil && len(cfg.Functions) > 0 && cfg.Network == "none" && !cfg.LogOutput && cfg.WorkerDir == filepath.Join(filepath.Dir(path), "worker")
}

// forget stops the worker of the directory and removes its configuration.
func (c *cli) forget() error {
	if err := c.down(); err != nil {
		return err
	}
	return os.Remove(c.configPath())
}

// keep starts a worker with cfg, unless one with the same cfg runs; it stops one with another.
func (c *cli) keep(cfg config.Config) error {
	next := cfg.JSON()
	path := c.configPath()
	parsed, err := config.Parse(path, next, nil)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil {
		if _, err := askPID(parsed); err == nil && bytes.Equal(old, next) {
			return nil
		}
		if err := c.down(); err != nil {
			return err
		}
	}
	if err := cfg.Write(path); err != nil {
		return err
	}
	if c.functions.binary == "" {
		return c.background(parsed)
	}
	return c.foreign(parsed)
}

// foreign starts the worker with another program that has OpenLambda's command
// line, and calls its function once, so that there is a container.
func (c *cli) foreign(cfg config.Config) error {
	out, err := exec.Command(c.functions.binary, "worker", "-p", c.path, "-d").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s worker -p %s -d: %w:\n%s", c.functions.binary, c.path, err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), docker.StartLimit)
	defer cancel()
	_, err = client.Invoke(ctx, &http.Client{Timeout: docker.StartLimit}, "http://"+cfg.Address(), cfg.FunctionName, client.Request{N: "1", ID: "0", Job: cfg.FunctionName})
	return err
}

// functionsDelete stops the workers that functionsInit started and removes their config.json.
func (c *cli) functionsDelete() error {
	var errs []error
	for _, dir := range c.functionDirs() {
		errs = append(errs, c.in(dir).forget())
	}
	return errors.Join(errs...)
}
