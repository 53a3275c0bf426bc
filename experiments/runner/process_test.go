package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// The tests of whole processes start this test binary again, with what it is
// to run in the environment.
const childEnv = "ALPS_RUNNER_CHILD"

// child is what such a process does.
type child struct {
	Dir     string // of the experiment called NAME.yaml
	Name    string
	Results string
	Shard   string
	Guest   bool
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var c child
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (c child) run() error {
	shard, err := ParseShard(c.Shard, os.Getenv)
	if err != nil {
		return err
	}
	o := Options{Rig: RigOptions{Root: "../..", Progress: progress.New(os.Stderr)}, Dir: c.Dir, Engine: results.EngineSim, Results: c.Results, Shard: shard}
	if c.Guest {
		o.Engine, o.Profile, o.Jobs = results.EngineVM, "tiny", 1
		o.Rig.Kernel, o.Rig.Src, o.Rig.Accel = os.Getenv("ALPS_KERNEL_NAME"), os.Getenv("ALPS_KERNEL_SRC"), vm.VTime
	}
	return Run(context.Background(), c.Name, o)
}

// start starts the process, the leader of a group of its own.
func (c child) start(t *testing.T) (*exec.Cmd, *bytes.Buffer) {
	text, err := json.Marshal(c)
	require.NoError(t, err)
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	return cmd, &out
}

// finish runs the process to its end.
func (c child) finish(t *testing.T) string {
	cmd, out := c.start(t)
	require.NoError(t, cmd.Wait(), "%s", out)
	return out.String()
}

// manyRuns writes an experiment of 121 short simulated runs and a table.
func manyRuns(t *testing.T) string {
	t.Setenv("ALPS_CACHE", t.TempDir())
	return experimentsDir(t, "many", `figure: many
title: "Many short runs"
parts:
  - engine: sim
    workloads: [huawei, azure]
    loads: [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9]
    machine: paper
    invocations: 1200
    seed: 5
    series: [{name: rr}, {name: fifo}, {name: cfs}, {name: sfs}, {name: alps}, {name: srpt}]
  - engine: host
    measure: groups
    workloads: [huawei]
`)
}

// experimentsDir is one with the repository's workloads, an experiment of its
// own, and a tiny profile.
func experimentsDir(t *testing.T, name, experiment string) string {
	dir := t.TempDir()
	for _, d := range []string{"machines", "workloads", "traces"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, d), os.DirFS("../"+d)))
	}
	for file, text := range map[string]string{
		name + ".yaml":  experiment,
		"profiles.yaml": "profiles: [{name: smoke, invocations: 240, rounds: 2, time_factor: 1}, {name: tiny, invocations: 30, rounds: 2, time_factor: 0.1, at_least: 1, only: {workloads: [huawei], series: [cfs, alps]}}]\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	}
	return dir
}

// content is every file below a results directory but the lock.
func content(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockName {
			return err
		}
		sum, err := digest.New("file").File("content", path).Sum()
		files[strings.TrimPrefix(path, dir)] = sum
		return err
	}))
	return files
}

// A file of somebody else's with the lock's name stays as it is.
func TestOthersLockStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, lockName)
	require.NoError(t, os.WriteFile(path, []byte("provider \"a\" {}\n"), 0o644))
	_, err := lock(dir)
	require.ErrorContains(t, err, path+" is not a lock of ours")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "provider \"a\" {}\n", string(data))
	require.NoError(t, os.Remove(path))
	for range 2 { // the second finds the first one's file
		unlock, err := lock(dir)
		require.NoError(t, err)
		unlock()
	}
}
