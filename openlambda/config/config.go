// SPDX-License-Identifier: Apache-2.0

// Package config is the worker's config.json: OpenLambda's keys with
// OpenLambda's meanings, the ALPS artifact's two, and ours.
//
// Keys are case-insensitive, unknown ones in the file are ignored, and a missing key means
// what the zero value means. Newer OpenLambda has other names for some keys; both names
// are read, and values that disagree are an error. Every error names file, key, value and what is
// allowed, and all wrong values are named at once.
package config

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Invocation modes: where a request's handler runs.
const (
	Import = "import" // in the container's server, as OpenLambda
	Exec   = "exec"   // in a new interpreter per request, as the ALPS artifact
	Fork   = "fork"   // in a process forked from the server, handler imported
)

// Unlimited is the Concurrency of an instance that takes every request.
const Unlimited = 1 << 30

// DefaultQueue is how many requests of a function may wait if the key queue is 0 or missing.
const DefaultQueue = 32

// Config is config.json.
type Config struct {
	WorkerDir       string `json:"worker_dir"`        // absolute
	WorkerURL       string `json:"worker_url"`        // address to listen on; "": 127.0.0.1
	WorkerPort      string `json:"worker_port"`       // 1 to 65535
	Sandbox         string `json:"sandbox"`           // docker
	ServerMode      string `json:"server_mode"`       // lambda
	LogOutput       bool   `json:"log_output"`        // when a container ends, log the last lines that it wrote
	Registry        string `json:"registry"`          // directory or http(s) prefix
	RegistryCacheMS int    `json:"registry_cache_ms"` // 0: look at every request
	PkgsDir         string `json:"Pkgs_dir"`          // mounted at /packages if it is there
	DockerRuntime   string `json:"docker_runtime"`    // "": Docker's default

	Limits   Limits   `json:"limits"`
	Features Features `json:"features"`
	Trace    Trace    `json:"trace"`
	Storage  Storage  `json:"storage"`

	// OpenLambda's keys for its other sandbox, for pip and for Kafka. They are accepted
	// without effect, and written so that OpenLambda's tools find them.
	MemPoolMB       int    `json:"mem_pool_mb"`
	ImportCacheTree any    `json:"import_cache_tree"`
	SockBasePath    string `json:"sock_base_path"`
	SandboxConfig   any    `json:"sandbox_config"`
	PipMirror       string `json:"pip_mirror"`
	InstallerLimits any    `json:"installer_limits"`
	Kafka           any    `json:"kafka"`

	// The ALPS artifact's keys: UID and name of the function that this worker serves.
	SealPriority string `json:"seal_priority"` // function UID
	FunctionName string `json:"function_name"`

	// Ours.
	CgroupParent string     `json:"cgroup_parent"` // "": alps.slice
	Invocation   string     `json:"invocation"`    // "": import
	Sched        string     `json:"sched"`         // normal, fifo, rr; "": normal
	PlatformUS   int        `json:"platform_us"`   // CPU time that a container's server uses up for each request, to model a platform that needs more
	CPUs         string     `json:"cpus"`          // of the containers, as 1-3,5; "": all
	Instances    Instances  `json:"instances"`
	Concurrency  int        `json:"concurrency"` // requests at once per instance; 0: 1 for import, else unlimited
	Queue        int        `json:"queue"`       // requests that wait per function; 0: 32
	Image        string     `json:"image"`       // "": lambda
	Network      string     `json:"network"`     // Docker's network; "": its default
	LogFormat    string     `json:"log_format"`  // text or json; "": text
	LogLevel     string     `json:"log_level"`   // debug, info, warn, error; "": info
	Functions    []Function `json:"functions"`   // warm before the worker is ready
}

// Limits bound a container and its invocations. 0 is no limit, except for Swappiness.
type Limits struct {
	Procs             int `json:"procs"`               // processes and threads
	MemMB             int `json:"mem_mb"`              // MiB
	CPUPercent        int `json:"cpu_percent"`         // of one CPU; 200 is two
	Swappiness        int `json:"swappiness"`          // 0: no swap beside mem_mb
	MaxRuntimeDefault int `json:"max_runtime_default"` // seconds of an invocation
	InstallerMemMB    int `json:"installer_mem_mb"`    // accepted without effect: nothing is installed
}

// MaxRuntime is how long an invocation may run; 0 is no limit.
func (l Limits) MaxRuntime() time.Duration { return time.Duration(l.MaxRuntimeDefault) * time.Second }

// Features have no effect: what they switch does not exist in Docker's sandbox. ImportCache must be off.
type Features struct {
	ReuseCgroups      bool `json:"reuse_cgroups"`
	ImportCache       any  `json:"import_cache"` // false, or in newer configurations ""
	DownsizePausedMem bool `json:"downsize_paused_mem"`
	EnableSeccomp     bool `json:"enable_seccomp"` // Docker has a profile of its own
}

// Trace switches logging. All but Latency are accepted and do nothing.
type Trace struct {
	Cgroups bool `json:"cgroups"`
	Memory  bool `json:"memory"`
	Evictor bool `json:"evictor"`
	Package bool `json:"package"`
	Latency bool `json:"latency"` // log every stage's duration
}

// Storage says what the worker's directories lie on: "" as they are, memory
// (tmpfs) or private (a private bind mount). Root is accepted and does nothing.
type Storage struct {
	Root    string `json:"root"`
	Scratch string `json:"scratch"`
	Code    string `json:"code"`
}

// Instances bound a function's containers.
type Instances struct {
	Min int `json:"min"` // kept even without requests
	Max int `json:"max"` // 0: no bound
}

// Function is served from a warm container, on a port of its own if it has one.
type Function struct {
	Name string `json:"name"`
	UID  string `json:"uid"`  // "": made of the name (UIDOf)
	Port string `json:"port"` // "": reachable through worker_port only
}

// Default is what ol init writes for a worker in dir: OpenLambda's values where Docker's
// sandbox accepts them, and a loopback address.
func Default(dir string) Config {
	return Config{
		WorkerDir: filepath.Join(dir, "worker"), WorkerURL: "localhost", WorkerPort: "5000", Sandbox: "docker",
		ServerMode: "lambda", LogOutput: true, Registry: filepath.Join(dir, "registry"), RegistryCacheMS: 5000,
		PkgsDir:  filepath.Join(dir, "lambda", "packages"),
		Limits:   Limits{Procs: 10, MemMB: 50, CPUPercent: 100, MaxRuntimeDefault: 30},
		Features: Features{ImportCache: false}, CgroupParent: "alps.slice", Invocation: Import, Sched: "normal",
		Queue: 32, Image: "lambda", LogFormat: "text", LogLevel: "info",
	}
}

// UIDOf is the UID of a function for which none is configured: a number made of its
// name, from 2^20 to 2^31-1, because people choose smaller ones. salt is 0, or how many
// UIDs of this name were tried before and belong to other functions.
func UIDOf(name string, salt int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", name, salt))
	const low, high = 1 << 20, 1 << 31
	return strconv.FormatUint(low+uint64(binary.BigEndian.Uint64(h[:8])%(high-low)), 10)
}

// Address is where the worker listens, host:port.
func (c Config) Address() string { return net.JoinHostPort(c.WorkerURL, c.WorkerPort) }

// fill sets defaults, takes file:// off the registry, and adds function_name to functions.
func (c *Config) fill() {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&c.WorkerURL, "127.0.0.1")
	set(&c.CgroupParent, "alps.slice")
	set(&c.Invocation, Import)
	set(&c.Sched, "normal")
	set(&c.Image, "lambda")
	set(&c.LogFormat, "text")
	set(&c.LogLevel, "info")
	c.Registry = strings.TrimPrefix(c.Registry, "file://")
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.Concurrency == 0 {
		c.Concurrency = Unlimited
		if c.Invocation == Import {
			c.Concurrency = 1
		}
	}
	if c.FunctionName != "" {
		f := Function{Name: c.FunctionName, UID: c.SealPriority}
		if !slices.Contains(c.Functions, f) {
			c.Functions = append(c.Functions, f)
		}
	}
}
