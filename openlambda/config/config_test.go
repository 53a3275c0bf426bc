// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// minimal is the smallest configuration with which a worker can run.
func minimal() map[string]any {
	return map[string]any{"worker_dir": "/w", "worker_port": "5000", "sandbox": "docker", "server_mode": "lambda", "registry": "/r"}
}

func with(changes map[string]any) []byte {
	m := minimal()
	for k, v := range changes {
		m[k] = v
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}

func TestMissingKeysMeanZero(t *testing.T) {
	c, err := Parse("config.json", with(nil), nil)
	require.NoError(t, err)
	require.Equal(t, Config{WorkerDir: "/w", WorkerURL: "127.0.0.1", WorkerPort: "5000", Sandbox: "docker", ServerMode: "lambda",
		Registry: "/r", CgroupParent: "alps.slice", Invocation: "import", Sched: "normal", Concurrency: 1, Queue: 32, Image: "lambda", LogFormat: "text", LogLevel: "info"}, c)
	require.Zero(t, c.Limits.MaxRuntime(), "no limit")
}

func TestKeysAreCaseInsensitiveAndUnknownOnesIgnored(t *testing.T) {
	c, err := Parse("config.json", []byte(`{"Worker_Dir": "/w", "WORKER_PORT": "5001", "sandbox": "docker", "Server_mode": "lambda",
		"registry": "/r", "pkgs_dir": "/p", "mem_pool_mb": 100, "sock_base_path": 7, "limits": {"Procs": 3, "installer_mem_mb": 1}, "sandbox_config": {}}`), nil)
	require.NoError(t, err)
	require.Equal(t, "5001", c.WorkerPort)
	require.Equal(t, "/p", c.PkgsDir)
	require.Equal(t, 3, c.Limits.Procs)
}

// Both names of a key are read. -o goes over the file, a later -o over an earlier one of the
// same name, and two names that disagree in the file, or in -o, are an error.
func TestOldAndNewNames(t *testing.T) {
	file := func(old, newer any) map[string]any {
		return map[string]any{"limits": map[string]any{"max_runtime_default": old, "RUNTIME_SEC": newer}}
	}
	for _, x := range []struct {
		file      map[string]any
		overrides []string
		want      int
		err       string
	}{
		{file(30, nil), []string{"limits.runtime_sec=20"}, 20, ""},
		{file(nil, 30), []string{"limits.max_runtime_default=20"}, 20, ""},
		{file(nil, 30), nil, 30, ""},
		{file(30, 30), nil, 30, ""},
		{file(30, 20), nil, 0, "config.json: limits.max_runtime_default: 30 and limits.runtime_sec: 20 are two names of one key that disagree: keep one"},
		{file(30, 20), []string{"limits.runtime_sec=5"}, 0, "two names of one key"},
		{file(1, nil), []string{"limits.runtime_sec=5", "limits.max_runtime_default=6"}, 0, "-o: limits.runtime_sec=5 and limits.max_runtime_default=6 are two names of one key that disagree: give one"},
		{file(1, nil), []string{"limits.runtime_sec=5", "limits.runtime_sec=6"}, 6, ""},
	} {
		c, err := Parse("config.json", with(x.file), x.overrides)
		if x.err != "" {
			require.ErrorContains(t, err, x.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, x.want, c.Limits.MaxRuntimeDefault)
	}
	_, err := Parse("config.json", with(map[string]any{"image": "a", "docker": map[string]any{"base_image": "b"}}), nil)
	require.ErrorContains(t, err, "image: a and docker.base_image: b are two names")
}

func TestSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, with(map[string]any{"Pkgs_dir": "/p", "limits": map[string]any{"runtime_sec": 7, "procs": 3}}), 0o644))
	c, s, err := ReadSources(path, []string{"limits.procs=9", "docker.base_image=x"})
	require.NoError(t, err)
	for key, want := range map[string][2]string{"limits.procs": {"9", "-o"}, "limits.max_runtime_default": {"7", path}, "Pkgs_dir": {`"/p"`, path},
		"image": {`"x"`, "-o"}, "queue": {"32", ""}, "functions": {"null", ""}} {
		require.Equal(t, want, [2]string{c.Value(key), s[key]}, key)
	}
}

// The UID that a name makes is the same everywhere, and larger than those that people choose.
func TestUIDOf(t *testing.T) {
	require.Equal(t, UIDOf("echo", 0), UIDOf("echo", 0))
	seen := map[string]bool{}
	for i := range 1000 {
		uid := UIDOf(fmt.Sprint("f", i), 0)
		n, err := strconv.ParseUint(uid, 10, 31)
		require.NoError(t, err)
		require.Greater(t, n, uint64(1<<20))
		require.False(t, seen[uid])
		seen[uid] = true
	}
	require.NotEqual(t, UIDOf("echo", 0), UIDOf("echo", 1))
}

// A configuration as OpenLambda writes it at commit 92fbdfe, but with Docker's sandbox, is read.
func TestUpstreamsConfiguration(t *testing.T) {
	c, err := Read("testdata/upstream.json", nil)
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, c.Limits.MaxRuntime())
	require.Equal(t, "private", c.Storage.Root)
	require.Equal(t, 5000, c.RegistryCacheMS)
}

// The keys that the ALPS artifact's workers add make one configured function.
func TestArtifactsKeys(t *testing.T) {
	c, err := Parse("config.json", with(map[string]any{"seal_priority": "18", "function_name": "fib"}), nil)
	require.NoError(t, err)
	require.Equal(t, []Function{{Name: "fib", UID: "18"}}, c.Functions)
	again, err := Parse("config.json", c.JSON(), nil)
	require.NoError(t, err)
	require.Equal(t, c, again, "what ol config prints can be read")
}

func TestNewerNames(t *testing.T) {
	c, err := Parse("config.json", with(map[string]any{"registry": "file:///r", "docker": map[string]any{"runtime": "runsc", "base_image": "ol-min"},
		"limits": map[string]any{"runtime_sec": 7}, "features": map[string]any{"import_cache": ""}}), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"/r", "runsc", "ol-min"}, []string{c.Registry, c.DockerRuntime, c.Image})
	require.Equal(t, 7*time.Second, c.Limits.MaxRuntime())
}

func TestOverrides(t *testing.T) {
	c, err := Parse("config.json", with(nil), []string{"limits.procs=9", "log_output=true", "invocation=exec", "Worker_Port=6000", "docker.runtime=runsc"})
	require.NoError(t, err)
	require.Equal(t, 9, c.Limits.Procs)
	require.True(t, c.LogOutput)
	require.Equal(t, "6000", c.WorkerPort)
	require.Equal(t, "runsc", c.DockerRuntime)
	require.Equal(t, Unlimited, c.Concurrency, "a default that follows from another key")
	for o, want := range map[string]string{
		"nonsense":         "-o nonsense: want key=value",
		"limits.procs=x":   "-o limits.procs=x: limits.procs: x: allowed: a whole number",
		"log_output=maybe": "-o log_output=maybe: log_output: maybe: allowed: true or false",
		"no_such=1":        "no_such",
		"limits.nope=1":    "nope",
		"limits=1":         "-o limits=1: limits",
		"functions=x":      "lists are edited in the file",
		"worker_port=0":    `config.json: worker_port: "0": allowed: 1 to 65535`,
	} {
		_, err := Parse("config.json", with(nil), []string{o})
		require.ErrorContains(t, err, want, o)
	}
}

// For a value that a key cannot have, the error names file, key, value and what is allowed.
// Every key is tried.
func TestInvalidValues(t *testing.T) {
	limits := func(key string, v int) map[string]any { return map[string]any{"limits": map[string]any{key: v}} }
	function := func(name, uid, port string) map[string]any {
		return map[string]any{"functions": []Function{{name, uid, port}}}
	}
	tested := map[string]bool{}
	for _, x := range []struct {
		key     string
		changes map[string]any
		want    string
	}{
		{"worker_dir", map[string]any{"worker_dir": "w"}, `worker_dir: "w": allowed: an absolute path`},
		{"worker_dir", map[string]any{"worker_dir": nil}, `worker_dir: "": allowed: an absolute path`},
		{"worker_dir", map[string]any{"worker_dir": "/"}, `worker_dir: "/": allowed: a directory of the worker's own`},
		{"worker_dir", map[string]any{"worker_dir": "/a:b"}, `worker_dir: "/a:b": allowed: a path without a colon`},
		{"worker_url", map[string]any{"worker_url": 5}, "" /* numbers are words */},
		{"worker_url", map[string]any{"worker_url": []int{1}}, `worker_url: [1]: allowed: a string`},
		{"worker_port", map[string]any{"worker_port": "99999"}, `worker_port: "99999": allowed: 1 to 65535`},
		{"sandbox", map[string]any{"sandbox": "sock"}, `sandbox: "sock": allowed: docker`},
		{"server_mode", map[string]any{"server_mode": "sock"}, `server_mode: "sock": allowed: lambda`},
		{"log_output", map[string]any{"log_output": "yes"}, `log_output: yes: allowed: true or false`},
		{"registry", map[string]any{"registry": "reg"}, `registry: "reg": allowed: an absolute path, or a prefix that begins with http:// or https://`},
		{"registry_cache_ms", map[string]any{"registry_cache_ms": -1}, `registry_cache_ms: -1: allowed: 0 to `},
		{"registry_cache_ms", map[string]any{"registry_cache_ms": 1.5}, `registry_cache_ms`},
		{"Pkgs_dir", map[string]any{"Pkgs_dir": "p"}, `Pkgs_dir: "p": allowed: an absolute path`},
		{"docker_runtime", map[string]any{"docker_runtime": true}, `docker_runtime: true: allowed: a string`},
		{"limits.procs", limits("procs", -1), `limits.procs: -1: allowed: 0 to `},
		{"limits.mem_mb", limits("mem_mb", -1), `limits.mem_mb: -1: allowed: 0 to `},
		{"limits.mem_mb", limits("mem_mb", 2), `limits.mem_mb: 2: allowed: 0 for no limit, or at least 6`},
		{"limits.cpu_percent", limits("cpu_percent", -5), `limits.cpu_percent: -5: allowed: 0 to `},
		{"limits.swappiness", limits("swappiness", 101), `limits.swappiness: 101: allowed: 0 to 100`},
		{"limits.max_runtime_default", limits("max_runtime_default", -1), `limits.max_runtime_default: -1: allowed: 0 to `},
		{"limits.runtime_sec", limits("runtime_sec", -1), `limits.max_runtime_default: -1: allowed: 0 to `},
		{"limits.procs", map[string]any{"limits": 5}, `limits: 5: allowed: a JSON object`},
		{"features.reuse_cgroups", map[string]any{"features": map[string]any{"reuse_cgroups": 2}}, `features.reuse_cgroups: 2: allowed: true or false`},
		{"features.import_cache", map[string]any{"features": map[string]any{"import_cache": true}}, `features.import_cache: true: allowed: false: Docker's sandbox has no import cache`},
		{"features.import_cache", map[string]any{"features": map[string]any{"import_cache": "tree"}}, `features.import_cache: "tree"`},
		{"features.downsize_paused_mem", map[string]any{"features": map[string]any{"downsize_paused_mem": "x"}}, `features.downsize_paused_mem: x`},
		{"features.enable_seccomp", map[string]any{"features": map[string]any{"enable_seccomp": 2}}, `features.enable_seccomp: 2: allowed: true or false`},
		{"limits.installer_mem_mb", map[string]any{"limits": map[string]any{"installer_mem_mb": "x"}}, `limits.installer_mem_mb`},
		{"mem_pool_mb", map[string]any{"mem_pool_mb": "x"}, `mem_pool_mb`},
		{"sock_base_path", map[string]any{"sock_base_path": []int{1}}, `sock_base_path: [1]: allowed: a string`},
		{"pip_mirror", map[string]any{"pip_mirror": []int{1}}, `pip_mirror: [1]: allowed: a string`},
		{"import_cache_tree", map[string]any{"import_cache_tree": map[string]any{"a": 1}}, "" /* of another sandbox: anything */},
		{"sandbox_config", map[string]any{"sandbox_config": map[string]any{"a": 1}}, ""},
		{"installer_limits", map[string]any{"installer_limits": map[string]any{"mem_mb": 250}}, ""},
		{"kafka", map[string]any{"kafka": map[string]any{"cache_size": 1024}}, ""},
		{"log_format", map[string]any{"log_format": "xml"}, `log_format: "xml": allowed: text, json`},
		{"log_level", map[string]any{"log_level": "loud"}, `log_level: "loud": allowed: debug, info, warn, error`},
		{"trace.cgroups", map[string]any{"trace": map[string]any{"cgroups": 1}}, `trace.cgroups: 1`},
		{"trace.memory", map[string]any{"trace": map[string]any{"memory": 1}}, `trace.memory: 1`},
		{"trace.evictor", map[string]any{"trace": map[string]any{"evictor": 1}}, `trace.evictor: 1`},
		{"trace.package", map[string]any{"trace": map[string]any{"package": 1}}, `trace.package: 1`},
		{"trace.latency", map[string]any{"trace": map[string]any{"latency": 1}}, `trace.latency: 1`},
		{"storage.root", map[string]any{"storage": map[string]any{"root": "x"}}, `storage.root: "x": allowed: , memory, private`},
		{"storage.scratch", map[string]any{"storage": map[string]any{"scratch": "x"}}, `storage.scratch: "x": allowed: , memory, private`},
		{"storage.code", map[string]any{"storage": map[string]any{"code": "x"}}, `storage.code: "x": allowed: , memory, private`},
		{"seal_priority", map[string]any{"seal_priority": "x"}, `seal_priority: "x": allowed: a number`},
		{"function_name", map[string]any{"function_name": "../x"}, `functions[0].name: "../x": allowed: letters, digits, '.', '_', '-'`},
		{"cgroup_parent", map[string]any{"cgroup_parent": "alps"}, `cgroup_parent: "alps": allowed: the name of a systemd slice, as alps.slice`},
		{"invocation", map[string]any{"invocation": "thread"}, `invocation: "thread": allowed: import, exec, fork`},
		{"platform_us", map[string]any{"platform_us": -1}, `platform_us: -1: allowed: 0 to 1000000`},
		{"sched", map[string]any{"sched": "idle"}, `sched: "idle": allowed: normal, fifo, rr`},
		{"cpus", map[string]any{"cpus": "1-"}, `cpus: "1-": allowed: a list of CPUs, as 1-3,5`},
		{"instances.min", map[string]any{"instances": map[string]any{"min": -1}}, `instances.min: -1: allowed: 0 to 1000`},
		{"instances.max", map[string]any{"instances": map[string]any{"min": 3, "max": 2}}, `instances.max: 2: allowed: 0, or at least instances.min, 3`},
		{"concurrency", map[string]any{"concurrency": -1}, `concurrency: -1: allowed: 1 to `},
		{"queue", map[string]any{"queue": -1}, `queue: -1: allowed: 1 to `},
		{"image", map[string]any{"image": 1.5e3}, ""},
		{"image", map[string]any{"image": map[string]any{}}, `image: map[]: allowed: a string`},
		{"network", map[string]any{"network": false}, `network: false: allowed: a string`},
		{"functions", function("..", "1", ""), `functions[0].name: "..": allowed: letters`},
		{"functions", function("x", "-1", ""), `functions[0].uid: "-1": allowed: a number`},
		{"functions", function("x", "1", "5000"), `functions[0].port: "5000": allowed: a port that is not there twice`},
		{"functions", map[string]any{"functions": []Function{{Name: "x"}, {Name: "x"}}}, `functions[1].name: "x": allowed: each function once`},
	} {
		tested[x.key] = true
		_, err := Parse("/ol/config.json", with(x.changes), nil)
		if x.want == "" {
			require.NoError(t, err, x.key)
			continue
		}
		require.ErrorContains(t, err, "/ol/config.json: "+x.want, x.key)
	}
	for _, key := range Keys() {
		require.True(t, tested[key], "no test gives %s a wrong value", key)
	}
}

func TestAllComplaintsComeAtOnce(t *testing.T) {
	_, err := Parse("config.json", with(map[string]any{"sandbox": "x", "sched": "y", "queue": -3}), nil)
	require.Len(t, strings.Split(err.Error(), "\n"), 3)
}

func TestSyntaxErrorsHaveAPosition(t *testing.T) {
	for text, want := range map[string]string{
		"{\n  \"a\": 1,\n  x}": "config.json:3:",
		"{} {}":                "config.json:1:",
		"":                     "config.json:1:1: EOF",
		"[]":                   "config.json:1:",
	} {
		_, err := Parse("config.json", []byte(text), nil)
		require.ErrorContains(t, err, want, text)
	}
}

func TestFileIsTheOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ol", "config.json")
	require.NoError(t, Default("/ol").Write(path))
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, st.Mode().Perm())
	c, err := Read(path, nil)
	require.NoError(t, err, "what ol init writes can be read")
	require.Equal(t, "localhost", c.WorkerURL)
	_, err = Read(path+".none", nil)
	require.ErrorContains(t, err, "ol init")
}

func FuzzParse(f *testing.F) {
	f.Add(with(nil), "limits.procs=9")
	f.Add([]byte(`{"functions": [{"name": "x", "uid": "1", "port": "80"}], "limits": null}`), "a.b.c=d")
	f.Add(with(map[string]any{"docker": map[string]any{"runtime": 1}}), "=")
	f.Fuzz(func(t *testing.T, data []byte, override string) {
		c, err := Parse("config.json", data, []string{override})
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := Parse("config.json", c.JSON(), nil)
		require.NoError(t, err, "what is valid can be written and read")
		require.Equal(t, c.JSON(), again.JSON())
	})
}
