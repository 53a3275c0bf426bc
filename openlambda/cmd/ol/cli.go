// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
)

const usage = `ol: a worker compatible with OpenLambda's Docker sandbox
  ol init [-p PATH] [-i IMAGE]               make a directory with config.json (also: new, worker init)
  ol worker [-p PATH] [-o key=value,…] [-d]  run the worker; -d: in the background (also: worker up)
  ol status [-p PATH]                        is it running? (also: worker status)
  ol kill [-p PATH]                          stop it (also: worker down)
  ol config [-p PATH] [-o key=value,…]       print the configuration as it takes effect
  ol functions init [-p PATH] [-ports 5002,…] [-invocation fork|exec] [-sched normal|fifo|rr]
                    [-cpus LIST] [-like one|artifact] [-binary OL]
                                             start the artifact's functions, one port each
  ol functions delete [-p PATH]              stop them and remove their containers
PATH is ./default-ol unless given; for functions it is /run/ol.
`

// verb is one of ol's commands.
type verb struct {
	run   func(*cli) error
	flags func(*cli, *flag.FlagSet) // beside -p
}

func commands() map[string]verb {
	none := func(*cli, *flag.FlagSet) {}
	overrides := func(c *cli, fs *flag.FlagSet) {
		alias(fs, &c.overrides, "o", "options", "key=value,… over config.json")
	}
	initialise := verb{(*cli).init, func(c *cli, fs *flag.FlagSet) { alias(fs, &c.image, "i", "image", "container image") }}
	worker := verb{(*cli).worker, func(c *cli, fs *flag.FlagSet) {
		overrides(c, fs)
		fs.BoolVar(&c.detach, "d", false, "run in the background")
		fs.BoolVar(&c.detach, "detach", false, "same as -d")
	}}
	status := verb{(*cli).status, none}
	return map[string]verb{
		"init": initialise, "new": initialise, "worker init": initialise, "worker": worker, "worker up": worker,
		"status": status, "worker status": status, "kill": {(*cli).kill, none}, "worker down": {(*cli).down, none},
		"config":           {(*cli).config, overrides},
		"functions init":   {(*cli).functionsInit, (*cli).functionsFlags},
		"functions delete": {(*cli).functionsDelete, none},
	}
}

// alias is a flag with OpenLambda's short and long name.
func alias(fs *flag.FlagSet, p *string, short, long, help string) {
	fs.StringVar(p, short, *p, help)
	fs.StringVar(p, long, *p, "same as -"+short)
}

type cli struct {
	stdout, stderr         io.Writer
	path, overrides, image string
	detach                 bool
	functions              functionFlags
}

// run is the command ol. It returns the exit code: 1 for errors, 3 for a
// command that does not exist.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "help" || args[0] == "--help" {
		io.WriteString(stdout, usage)
		return 0
	}
	name, rest := args[0], args[1:]
	all := commands()
	if len(rest) > 0 {
		if _, ok := all[name+" "+rest[0]]; ok {
			name, rest = name+" "+rest[0], rest[1:]
		}
	}
	cmd, ok := all[name]
	if !ok {
		fmt.Fprintf(stderr, "ol: unknown command %q\n%s", strings.Join(args, " "), usage)
		return 3
	}
	c := &cli{stdout: stdout, stderr: stderr, path: "default-ol"}
	if strings.HasPrefix(name, "functions ") {
		c.path = "/run/ol"
	}
	fs := flag.NewFlagSet("ol "+name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	alias(fs, &c.path, "p", "path", "the worker's directory")
	cmd.flags(c, fs)
	err := fs.Parse(rest)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Args())
	}
	if err == nil {
		if c.path, err = filepath.Abs(c.path); err == nil {
			err = cmd.run(c)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s ol %s: %v\n", time.Now().Format("2006/01/02 15:04:05.000000"), name, err)
		return 1
	}
	return 0
}

func (c *cli) configPath() string { return filepath.Join(c.path, "config.json") }

func (c *cli) read() (config.Config, error) {
	var o []string
	if c.overrides != "" {
		o = strings.Split(c.overrides, ",")
	}
	return config.Read(c.configPath(), o)
}

func (c *cli) config() error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(cfg.JSON())
	return err
}

func (c *cli) init() error {
	if _, err := os.Stat(c.configPath()); err == nil {
		return fmt.Errorf("%s is there already", c.configPath())
	}
	cfg := config.Default(c.path)
	if c.image != "" {
		cfg.Image = c.image
	}
	if err := cfg.Write(c.configPath()); err != nil {
		return err
	}
	for _, dir := range []string{cfg.WorkerDir, cfg.Registry} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.stdout, "You may change the defaults: %s\nPut functions into: %s\nStart the worker with: ol worker -p %s\n",
		c.configPath(), cfg.Registry, c.path)
	return nil
}

// worker runs the worker, as upstream in a directory that it makes if need be.
func (c *cli) worker() error {
	if _, err := os.Stat(c.path); errors.Is(err, os.ErrNotExist) {
		if err := c.init(); err != nil {
			return err
		}
	}
	cfg, err := c.read()
	if err != nil {
		return err
	}
	if c.overrides != "" {
		if err := cfg.Write(c.configPath() + ".overrides"); err != nil {
			return err
		}
	}
	if c.detach {
		return c.background(cfg)
	}
	return foreground(cfg, c.stderr)
}
