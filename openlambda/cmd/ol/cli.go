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
	"text/tabwriter"

	"github.com/ds2-lab/alps/openlambda/config"
)

const usage = `ol: a worker compatible with OpenLambda's Docker sandbox
  ol init [-p PATH] [-i IMAGE]               make a directory with config.json (also: new, worker init)
  ol worker [-p PATH] [-o key=value,…] [-d]  run the worker; -d: in the background (also: worker up)
  ol status [-p PATH]                        is it running? (also: worker status)
  ol kill [-p PATH]                          stop it (also: worker down)
  ol config [-p PATH] [-o key=value,…] [-json]
                                             every key as it takes effect, and where it comes from
  ol admin install [-p PATH] [-n NAME] [-c OL.YAML] [-r REQUIREMENTS.TXT] DIR
                                             put a function into the registry
  ol list [-p PATH]                          the functions, and which are warm
  ol invoke NAME [-p PATH] [-d JSON | -f FILE] [-X METHOD] [-u /PATH?QUERY]
                                             call a function and print its answer
  ol logs NAME [-p PATH] [-f]                what a function printed, and what the worker logged about it
  ol functions init [-p PATH] [-ports 5002,…] [-invocation fork|exec] [-sched normal|fifo|rr]
                    [-cpus LIST] [-like one|artifact] [-binary OL]
                                             start the artifact's functions, one port each
  ol functions delete [-p PATH]              stop them and remove their containers
PATH is ./default-ol unless given; for functions it is /run/ol. A command and -h
print its flags.
`

// verb is one of ol's commands.
type verb struct {
	run   func(*cli) error
	flags func(*cli, *flag.FlagSet) // beside -p
	arg   string                    // what the argument is; "": the command has none
}

func commands() map[string]verb {
	none := func(*cli, *flag.FlagSet) {}
	overrides := func(c *cli, fs *flag.FlagSet) {
		alias(fs, &c.overrides, "o", "options", "key=value,… over config.json")
	}
	initialise := verb{run: (*cli).init, flags: func(c *cli, fs *flag.FlagSet) { alias(fs, &c.image, "i", "image", "container image") }}
	worker := verb{run: (*cli).worker, flags: func(c *cli, fs *flag.FlagSet) {
		overrides(c, fs)
		fs.BoolVar(&c.detach, "d", false, "run in the background")
		fs.BoolVar(&c.detach, "detach", false, "same as -d")
	}}
	status := verb{run: (*cli).status, flags: none}
	return map[string]verb{
		"init": initialise, "new": initialise, "worker init": initialise, "worker": worker, "worker up": worker,
		"status": status, "worker status": status, "kill": {run: (*cli).kill, flags: none}, "worker down": {run: (*cli).down, flags: none},
		"config": {run: (*cli).config, flags: func(c *cli, fs *flag.FlagSet) {
			overrides(c, fs)
			fs.BoolVar(&c.json, "json", false, "print a config.json that has every key")
		}},
		"admin install": {run: (*cli).install, flags: (*cli).installFlags, arg: "DIR, a function's directory"},
		"list":          {run: (*cli).list, flags: none},
		"invoke":        {run: (*cli).invoke, flags: (*cli).invokeFlags, arg: "NAME, a function's"},
		"logs": {run: (*cli).logs, flags: func(c *cli, fs *flag.FlagSet) { fs.BoolVar(&c.follow, "f", false, "go on as more comes, until Ctrl-C") },
			arg: "NAME, a function's"},
		"functions init":   {run: (*cli).functionsInit, flags: (*cli).functionsFlags},
		"functions delete": {run: (*cli).functionsDelete, flags: none},
	}
}

// alias defines a flag with OpenLambda's short and long name for it.
func alias(fs *flag.FlagSet, p *string, short, long, help string) {
	fs.StringVar(p, short, *p, help)
	fs.StringVar(p, long, *p, "same as -"+short)
}

type cli struct {
	stdout, stderr         io.Writer
	path, overrides, image string
	detach, json, follow   bool
	arg                    string // the command's argument
	functions              functionFlags
	call                   invokeFlags
	pack                   installFlags
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
	fs.Usage = func() {
		fmt.Fprint(stderr, about(name))
		fs.PrintDefaults()
	}
	alias(fs, &c.path, "p", "path", "the worker's directory")
	cmd.flags(c, fs)
	err := c.parse(fs, rest, cmd.arg)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		if c.path, err = filepath.Abs(c.path); err == nil {
			err = cmd.run(c)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "ol %s: %v\n", name, err)
		return 1
	}
	return 0
}

// about is the lines of usage about the command called name.
func about(name string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(usage) {
		switch {
		case strings.HasPrefix(line, "  ol "):
			inside = strings.HasPrefix(line+" ", "  ol "+name+" ") || strings.Contains(line, "(also: "+name) || strings.Contains(line, ", "+name+")")
		case !strings.HasPrefix(line, "    "):
			inside = false
		}
		if inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// parse reads flags, and the argument if the command has one, in any order.
func (c *cli) parse(fs *flag.FlagSet, rest []string, arg string) error {
	for {
		if err := fs.Parse(rest); err != nil {
			return err
		}
		switch {
		case fs.NArg() == 0 && arg != "" && c.arg == "":
			return fmt.Errorf("want %s", arg)
		case fs.NArg() == 0:
			return nil
		case arg == "" || c.arg != "":
			return fmt.Errorf("unexpected argument %q", fs.Arg(0))
		}
		c.arg, rest = fs.Arg(0), fs.Args()[1:]
	}
}

func (c *cli) configPath() string    { return filepath.Join(c.path, "config.json") }
func (c *cli) overridesPath() string { return c.configPath() + ".overrides" }

// read is the configuration that a worker started now would have.
func (c *cli) read() (config.Config, error) {
	cfg, _, err := c.readSources()
	return cfg, err
}

func (c *cli) readSources() (config.Config, config.Sources, error) {
	var o []string
	if c.overrides != "" {
		o = strings.Split(c.overrides, ",")
	}
	return config.ReadSources(c.configPath(), o)
}

// readRunning is the configuration of the worker that runs in PATH, or ran last. A worker
// with -o has left its configuration in config.json.overrides.
func (c *cli) readRunning() (config.Config, error) {
	if _, err := os.Stat(c.overridesPath()); err == nil {
		return config.Read(c.overridesPath(), nil)
	}
	return config.Read(c.configPath(), nil)
}

// config prints each key once, its value as JSON, and where the value comes from.
func (c *cli) config() error {
	cfg, sources, err := c.readSources()
	if err != nil {
		return err
	}
	if c.json {
		_, err = c.stdout.Write(cfg.JSON())
		return err
	}
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	for _, key := range config.Keys() {
		source := sources[key]
		if source == "" {
			source = "default"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", key, cfg.Value(key), source)
	}
	return w.Flush()
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

// worker runs the worker. As upstream's does, it makes PATH if there is none.
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
	if c.detach {
		return c.background(cfg)
	}
	return c.foreground(cfg)
}
