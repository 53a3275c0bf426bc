package openlambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Config is config.json. Keys are case-insensitive and unknown ones ignored,
// as in OpenLambda, whose names and meanings these are up to Limits.
type Config struct {
	WorkerDir  string `json:"worker_dir"`
	WorkerURL  string `json:"worker_url"`  // address to listen on; default 127.0.0.1
	WorkerPort string `json:"worker_port"` // default 5000
	Sandbox    string `json:"sandbox"`     // docker
	Registry   string `json:"registry"`    // directory of NAME.py or NAME/f.py

	// The ALPS artifact's: identity of the one function this worker serves.
	SealPriority string `json:"seal_priority"` // function UID
	FunctionName string `json:"function_name"`

	// Ours.
	CgroupParent string     `json:"cgroup_parent"` // default alps.slice
	Invocation   string     `json:"invocation"`    // exec (the artifact's) or fork; default fork
	Image        string     `json:"image"`         // default lambda
	Functions    []Function `json:"functions"`     // one warm container each
}

// Function is one warm container and the port that serves it.
type Function struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	Port string `json:"port"` // "" : reachable through worker_port only
}

// DefaultConfig is what ol init writes.
func DefaultConfig(dir string) Config {
	return Config{
		WorkerDir: filepath.Join(dir, "worker"), WorkerURL: "127.0.0.1", WorkerPort: "5000", Sandbox: "docker",
		Registry: filepath.Join(dir, "registry"), CgroupParent: "alps.slice", Invocation: "fork", Image: "lambda",
	}
}

// nameRE is what OpenLambda allows in a function's name.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// ReadConfig reads path, applies overrides (key=value) and defaults, and
// checks every value. Errors name file, key, value and what is allowed.
func ReadConfig(path string, overrides []string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w (make one with: ol init)", err)
	}
	c := DefaultConfig(filepath.Dir(path))
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			return Config{}, fmt.Errorf("override %q: want key=value", o)
		}
		patch, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			return Config{}, err
		}
		if err := json.Unmarshal(patch, &c); err != nil {
			return Config{}, fmt.Errorf("override %q: %w", o, err)
		}
	}
	if c.FunctionName != "" || c.SealPriority != "" {
		c.Functions = append(c.Functions, Function{Name: c.FunctionName, UID: c.SealPriority})
	}
	return c, c.check(path)
}

func (c Config) check(path string) error {
	var errs []error
	bad := func(key, value, allowed string) {
		errs = append(errs, fmt.Errorf("%s: %s: %q: %s", path, key, value, allowed))
	}
	if c.Sandbox != "docker" {
		bad("sandbox", c.Sandbox, "allowed: docker")
	}
	if c.Invocation != "exec" && c.Invocation != "fork" {
		bad("invocation", c.Invocation, "allowed: exec, fork")
	}
	if !strings.HasSuffix(c.CgroupParent, ".slice") {
		bad("cgroup_parent", c.CgroupParent, "a systemd slice is needed, as alps.slice")
	}
	ports := map[string]bool{}
	port := func(key, value string) {
		n, err := strconv.Atoi(value)
		switch {
		case err != nil || n < 1 || n > 65535:
			bad(key, value, "allowed: 1 to 65535")
		case ports[value]:
			bad(key, value, "there twice")
		}
		ports[value] = true
	}
	port("worker_port", c.WorkerPort)
	for i, f := range c.Functions {
		key := fmt.Sprintf("functions[%d].", i)
		if !nameRE.MatchString(f.Name) || f.Name == "." || f.Name == ".." {
			bad(key+"name", f.Name, "allowed: letters, digits, '.', '_', '-'")
		}
		if n, err := strconv.Atoi(f.UID); err != nil || n < 0 {
			bad(key+"uid", f.UID, "a number is needed")
		}
		if f.Port != "" {
			port(key+"port", f.Port)
		}
	}
	return errors.Join(errs...)
}

// ErrNoFunction is a function the registry does not have.
var ErrNoFunction = errors.New("no such function")

// handler finds the file of the function called name.
func handler(registry, name string) (string, error) {
	tried := []string{filepath.Join(registry, name+".py"), filepath.Join(registry, name, "f.py")}
	for _, path := range tried {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %s: looked at %s", ErrNoFunction, name, strings.Join(tried, ", "))
}
