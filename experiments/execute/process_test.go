// SPDX-License-Identifier: Apache-2.0

package execute

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

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/internal/exptest"
	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// childEnv is the variable that makes this test binary run an experiment instead of
// tests: a child in JSON. Tests of whole processes start the binary again with it.
const childEnv = "ALPS_EXECUTE_CHILD"

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
	shard, err := plan.ParseShard(c.Shard, os.Getenv)
	if err != nil {
		return err
	}
	o := plan.Options{Guest: guest.Options{Root: "../..", Progress: progress.New(os.Stderr)}, Dir: c.Dir, Engine: results.EngineSim, Results: c.Results, Shard: shard}
	if c.Guest {
		o.Engine, o.Profile, o.Jobs = results.EngineVM, "tiny", 1
		o.Guest.Kernel, o.Guest.Src, o.Guest.Accel = os.Getenv("ALPS_KERNEL_NAME"), os.Getenv("ALPS_KERNEL_SRC"), vm.VTime
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
	return exptest.Dir(t, "many", `figure: many
title: "Many short runs"
parts:
  - engine: sim
    workloads: [huawei, azure]
    loads: [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9]
    machine: paper
    invocations: 300
    seed: 5
    series: [{name: rr}, {name: fifo}, {name: cfs}, {name: sfs}, {name: alps}, {name: srpt}]
  - engine: host
    measure: groups
    workloads: [huawei]
`)
}

// content is every file below a results directory but the lock.
func content(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == ".lock" {
			return err
		}
		sum, err := digest.New("file").File("content", path).Sum()
		files[strings.TrimPrefix(path, dir)] = sum
		return err
	}))
	return files
}
