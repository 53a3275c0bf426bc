// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	nameRE  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	sliceRE = regexp.MustCompile(`^[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*\.slice$`)
	cpusRE  = regexp.MustCompile(`^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$`)
)

// ValidName says whether a function may have this name: up to 128 of the characters that
// OpenLambda allows, but neither "." nor "..", which name directories.
func ValidName(name string) bool { return nameRE.MatchString(name) && name != "." && name != ".." }

// IsURL says whether a registry is an http or https prefix, not a directory.
func IsURL(registry string) bool {
	return strings.HasPrefix(registry, "http://") || strings.HasPrefix(registry, "https://")
}

// Check returns an error for each value that is not allowed, joined. path names the file in them.
func (c Config) Check(path string) error {
	var errs []error
	bad := func(key string, value any, allowed string) {
		if s, ok := value.(string); ok {
			value = strconv.Quote(s)
		}
		errs = append(errs, fmt.Errorf("%s: %s: %v: allowed: %s", path, key, value, allowed))
	}
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			bad(key, value, strings.Join(allowed, ", "))
		}
	}
	within := func(key string, value, low, high int) {
		if value < low || value > high {
			bad(key, value, fmt.Sprintf("%d to %d", low, high))
		}
	}
	absolute := func(key, value string) {
		if !filepath.IsAbs(value) {
			bad(key, value, "an absolute path")
		} else if strings.ContainsAny(value, ":\x00") {
			bad(key, value, "a path without a colon, which Docker's mounts cannot have")
		}
	}
	absolute("worker_dir", c.WorkerDir)
	if filepath.Clean(c.WorkerDir) == "/" {
		bad("worker_dir", c.WorkerDir, "a directory of the worker's own")
	}
	oneOf("sandbox", c.Sandbox, "docker")
	oneOf("server_mode", c.ServerMode, "lambda")
	if !IsURL(c.Registry) && !filepath.IsAbs(c.Registry) {
		bad("registry", c.Registry, "an absolute path, or a prefix that begins with http:// or https://")
	}
	if c.PkgsDir != "" {
		absolute("Pkgs_dir", c.PkgsDir)
	}
	const day = 24 * 60 * 60
	within("registry_cache_ms", c.RegistryCacheMS, 0, 1000*day)
	within("limits.procs", c.Limits.Procs, 0, 1<<22)
	within("limits.mem_mb", c.Limits.MemMB, 0, 1<<24)
	if c.Limits.MemMB > 0 && c.Limits.MemMB < 6 {
		bad("limits.mem_mb", c.Limits.MemMB, "0 for no limit, or at least 6, which Docker needs")
	}
	within("limits.cpu_percent", c.Limits.CPUPercent, 0, 100*1024)
	within("limits.swappiness", c.Limits.Swappiness, 0, 100)
	within("limits.max_runtime_default", c.Limits.MaxRuntimeDefault, 0, 30*day)
	switch v := c.Features.ImportCache.(type) {
	case nil:
	case bool:
		if v {
			bad("features.import_cache", v, "false: Docker's sandbox has no import cache")
		}
	case string:
		oneOf("features.import_cache", v, "")
	default:
		bad("features.import_cache", v, "false")
	}
	for key, v := range map[string]string{"root": c.Storage.Root, "scratch": c.Storage.Scratch, "code": c.Storage.Code} {
		oneOf("storage."+key, v, "", "memory", "private")
	}
	if !sliceRE.MatchString(c.CgroupParent) {
		bad("cgroup_parent", c.CgroupParent, "the name of a systemd slice, as alps.slice")
	}
	oneOf("invocation", c.Invocation, Import, Exec, Fork)
	within("platform_us", c.PlatformUS, 0, 1_000_000)
	oneOf("sched", c.Sched, "normal", "fifo", "rr")
	oneOf("log_format", c.LogFormat, "text", "json")
	oneOf("log_level", c.LogLevel, "debug", "info", "warn", "error")
	if c.CPUs != "" && !cpusRE.MatchString(c.CPUs) {
		bad("cpus", c.CPUs, "a list of CPUs, as 1-3,5")
	}
	within("instances.min", c.Instances.Min, 0, 1000)
	within("instances.max", c.Instances.Max, 0, 1000)
	if c.Instances.Max > 0 && c.Instances.Max < c.Instances.Min {
		bad("instances.max", c.Instances.Max, fmt.Sprintf("0, or at least instances.min, %d", c.Instances.Min))
	}
	within("concurrency", c.Concurrency, 1, Unlimited)
	within("queue", c.Queue, 1, 1<<20)
	errs = append(errs, c.checkFunctions(path)...)
	return errors.Join(errs...)
}

// checkFunctions checks names, UIDs and ports, and that no port and no function is there twice.
func (c Config) checkFunctions(path string) (errs []error) {
	bad := func(key, value, allowed string) {
		errs = append(errs, fmt.Errorf("%s: %s: %q: allowed: %s", path, key, value, allowed))
	}
	ports := map[string]bool{}
	port := func(key, value string) {
		n, err := strconv.Atoi(value)
		switch {
		case err != nil || n < 1 || n > 65535:
			bad(key, value, "1 to 65535")
		case ports[value]:
			bad(key, value, "a port that is not there twice")
		}
		ports[value] = true
	}
	uid := func(key, value string) {
		if n, err := strconv.ParseUint(value, 10, 31); err != nil || strconv.FormatUint(n, 10) != value {
			bad(key, value, "a number")
		}
	}
	port("worker_port", c.WorkerPort)
	if c.SealPriority != "" {
		uid("seal_priority", c.SealPriority)
	}
	seen := map[Function]bool{}
	for i, f := range c.Functions {
		key := fmt.Sprintf("functions[%d].", i)
		if !ValidName(f.Name) {
			bad(key+"name", f.Name, "letters, digits, '.', '_', '-'")
		}
		if f.UID != "" {
			uid(key+"uid", f.UID)
		}
		if f.Port != "" {
			port(key+"port", f.Port)
		}
		if seen[f] {
			bad(key+"name", f.Name, "each function once")
		}
		seen[f] = true
	}
	return errs
}
