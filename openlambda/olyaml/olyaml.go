// SPDX-License-Identifier: Apache-2.0

// Package olyaml is what a function's own files say about it: ol.yaml (how it is
// called, its environment, whether its sandbox is used again), and the comments
// in its code. Keys are OpenLambda's; an unknown one is an error with its line
// and column.
package olyaml

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/robfig/cron/v3"

	"github.com/ds2-lab/alps/internal/yamlx"
)

// File is the configuration's name beside the function's code.
const File = "ol.yaml"

// Methods that a trigger may name, beside "*" for all.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Function is what the files in a function's directory say.
type Function struct {
	Allowed     []string          // methods; "*" is all
	Cron        []Schedule        // when the worker calls it by itself
	Environment map[string]string // of its processes
	Fresh       bool              // a sandbox for each request (reuse-sandbox: false)
	Entry       string            // the file that is imported
	Install     []string          // packages that ol-install comments name
}

// Schedule is one trigger of cron.
type Schedule struct {
	Text string // five fields, or @every 1m
	When cron.Schedule
}

type httpTrigger struct {
	Method yamlx.At[string] `yaml:"method"`
}

type cronTrigger struct {
	Schedule yamlx.At[string] `yaml:"schedule"`
}

type triggers struct {
	HTTP  []httpTrigger   `yaml:"http"`
	Cron  []cronTrigger   `yaml:"cron"`
	Kafka []yamlx.At[any] `yaml:"kafka"`
}

// file is ol.yaml.
type file struct {
	Triggers    triggers                    `yaml:"triggers"`
	Environment map[string]yamlx.At[string] `yaml:"environment"`
	Reuse       yamlx.At[bool]              `yaml:"reuse-sandbox"`
}

// Read returns what the files of the function in dir say. A function that this worker
// cannot run is an error.
func Read(dir string) (Function, error) {
	f, err := readFile(filepath.Join(dir, File))
	if err != nil {
		return Function{}, err
	}
	if f.Environment == nil {
		if f.Environment, err = readDotEnv(filepath.Join(dir, ".env")); err != nil {
			return Function{}, err
		}
	}
	f.Entry = "f.py"
	if name := f.Environment["OL_ENTRY_FILE"]; name != "" {
		f.Entry = name
	}
	if !strings.HasSuffix(f.Entry, ".py") || !filepath.IsLocal(f.Entry) {
		return Function{}, fmt.Errorf("OL_ENTRY_FILE %q: want a file of the function's that ends with .py", f.Entry)
	}
	f.Install, err = installs(filepath.Join(dir, f.Entry))
	if errors.Is(err, fs.ErrNotExist) {
		if f.Entry == "f.py" {
			return Function{}, fmt.Errorf("no f.py in it (if another file is its entry, say so in %s: environment: OL_ENTRY_FILE: app.py)", File)
		}
		return Function{}, fmt.Errorf("no %s in it, which OL_ENTRY_FILE names", f.Entry)
	}
	return f, err
}

// readFile reads ol.yaml; where there is none, every method is allowed.
func readFile(path string) (Function, error) {
	out := Function{Allowed: []string{"*"}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	return Parse(data)
}

// Parse reads ol.yaml's content. Entry and Install stay empty. With an error the
// Function is empty: nothing of a wrong file counts.
func Parse(data []byte) (Function, error) {
	out := Function{Allowed: []string{"*"}}
	if strings.TrimSpace(string(data)) == "" {
		return out, nil
	}
	var f file
	if err := yamlx.Decode(File, data, &f); err != nil {
		return Function{}, err
	}
	errs := &yamlx.Errors{File: File}
	if f.Triggers.HTTP != nil {
		out.Allowed = nil
	}
	for _, h := range f.Triggers.HTTP {
		method := h.Method.V
		if method != "*" && !slices.Contains(Methods, method) {
			errs.Add(h.Method.Pos(), "triggers.http.method", "%q: allowed: *, %s", method, strings.Join(Methods, ", "))
		}
		out.Allowed = append(out.Allowed, method)
	}
	for _, c := range f.Triggers.Cron {
		when, err := cron.ParseStandard(c.Schedule.V)
		if err != nil {
			errs.Add(c.Schedule.Pos(), "triggers.cron.schedule", "%q: want minute, hour, day, month, weekday as \"*/5 * * * *\", or @every 1m: %v", c.Schedule.V, err)
			continue
		}
		out.Cron = append(out.Cron, Schedule{c.Schedule.V, when})
	}
	for _, k := range f.Triggers.Kafka {
		errs.Add(k.Pos(), "triggers.kafka", "this worker reads from no Kafka; remove the trigger and have a consumer POST each message to /run/NAME")
	}
	for _, key := range slices.Sorted(maps.Keys(f.Environment)) {
		value := f.Environment[key]
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value.V, "\x00") {
			errs.Add(value.Pos(), "environment", "%q: a variable has a name without =", key)
		}
		if out.Environment == nil {
			out.Environment = map[string]string{}
		}
		out.Environment[key] = value.V
	}
	out.Fresh = !f.Reuse.IsZero() && !f.Reuse.V
	if err := errs.Err(); err != nil {
		return Function{}, err
	}
	return out, nil
}

// readDotEnv reads the NAME=value lines of .env, which count if ol.yaml has no environment.
func readDotEnv(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" {
			return nil, fmt.Errorf(".env:%d: %q: want NAME=value", n, line)
		}
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		out[key] = value
	}
	return out, nil
}

// Allows says whether the function may be called with a method.
func (f Function) Allows(method string) bool {
	return slices.Contains(f.Allowed, "*") || slices.Contains(f.Allowed, method)
}

// Env is the environment as NAME=value, sorted, with Install in OL_INSTALL for the server.
func (f Function) Env() []string {
	var out []string
	for key, value := range f.Environment {
		out = append(out, key+"="+value)
	}
	if len(f.Install) > 0 {
		out = append(out, "OL_INSTALL="+strings.Join(f.Install, ","))
	}
	slices.Sort(out)
	return out
}

// installs are the packages that "# ol-install: a, b" lines of the code name.
func installs(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		// As OpenLambda reads it: the line begins with #, and spaces may be anywhere.
		if list, ok := strings.CutPrefix(strings.ReplaceAll(line, " ", ""), "#ol-install:"); ok {
			for name := range strings.SplitSeq(list, ",") {
				if name = strings.TrimSpace(name); name != "" {
					out = append(out, name)
				}
			}
		}
		if err == io.EOF {
			return out, nil
		}
	}
}
