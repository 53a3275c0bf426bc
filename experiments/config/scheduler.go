// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ds2-lab/alps/internal/yamlx"
)

// Scheduler is what decides in a series: a name, or a program that loads itself
// by sched_ext:
//
//	scheduler: sfs
//	scheduler: {command: scx_flatcg -s 20000, kernel: "7.3"}
//	scheduler: {command: ../my/scx_mine, kernel: "7.3"}
type Scheduler struct {
	Name yamlx.At[string] `yaml:"-"`

	// Command is a peer that the target kernel:peers builds, or the path of a program
	// relative to the experiment, and its arguments with blanks between them.
	Command yamlx.At[string] `yaml:"command"`
	Kernel  yamlx.At[string] `yaml:"kernel"` // in kernels.yaml; the same as the series' kernel
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Scheduler) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return n.Decode(&s.Name)
	}
	// Node.Decode does not complain about unknown keys.
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i]; !slices.Contains([]string{"command", "kernel"}, key.Value) {
			return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: field %s not found in type config.Scheduler", key.Line, key.Value)}}
		}
	}
	type plain Scheduler
	if err := n.Decode((*plain)(s)); err != nil {
		return err
	}
	if s.Command.IsZero() {
		s.Command = yamlx.At[string]{Line: n.Line, Col: n.Column}
	}
	return nil
}

// IsZero reports whether the series does not say its scheduler.
func (s Scheduler) IsZero() bool { return s.Name.IsZero() && s.Command.IsZero() }

// isProgram says whether a program decides.
func (s Scheduler) isProgram() bool { return !s.Command.IsZero() }

// program is the first word of the command.
func (s Scheduler) program() string {
	first, _, _ := strings.Cut(strings.TrimSpace(s.Command.V), " ")
	return first
}

// KernelName is the series' kernel in kernels.yaml; zero: that of the other guests.
func (s Series) KernelName() yamlx.At[string] {
	if s.Kernel.IsZero() {
		return s.Scheduler.Kernel
	}
	return s.Kernel
}

// SchedulerName is the name of the scheduler; a program has the name of its file.
func (s Series) SchedulerName() string { return s.scheduler().V }

func (s Series) scheduler() yamlx.At[string] {
	switch {
	case s.Scheduler.isProgram():
		at := s.Scheduler.Command
		at.V = filepath.Base(s.Scheduler.program())
		return at
	case s.Scheduler.Name.IsZero():
		return s.Name
	}
	return s.Scheduler.Name
}

// program checks a series in which a program decides.
func (c checker) program(at string, x Series) {
	at += "scheduler."
	program, kernel := x.Scheduler.program(), x.Scheduler.Kernel
	if program == "" {
		c.add(x.Scheduler.Command.Pos(), at+"command", "missing; give the path of a program, or the name of a peer (kernel:peers)")
	} else if strings.Contains(program, "/") {
		path := program
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.dir, path)
		}
		if st, err := os.Stat(path); err != nil || st.IsDir() || st.Mode()&0o111 == 0 {
			c.add(x.Scheduler.Command.Pos(), at+"command", "%q: give the path of an executable program, relative to %s", program, c.dir)
		}
	}
	if !kernel.IsZero() && !x.Kernel.IsZero() && kernel.V != x.Kernel.V {
		c.add(kernel.Pos(), at+"kernel", "%q: the series has kernel %q", kernel.V, x.Kernel.V)
	}
	if !x.On.IsZero() || !x.Order.IsZero() || !x.Step.IsZero() || x.Params != nil {
		c.add(x.Scheduler.Command.Pos(), at+"command", "a program has no order, step, params or on; its arguments follow its name")
	}
}
