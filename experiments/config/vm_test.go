// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Another worker is named beside the experiment, and has to be there.
func TestAnotherWorker(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "traces"), os.DirFS("../traces")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "workloads"), os.DirFS("../workloads")))
	require.NoError(t, os.Rename(filepath.Join(dir, "workloads", "huawei.yaml"), filepath.Join(dir, "workloads", "w.yaml")))
	load := func(text string) (Experiment, error) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yaml"), []byte(text), 0o644))
		return Load(dir, "x")
	}
	const worker = "    worker: {binary: ol}\n"
	_, err := load(goodVM + worker)
	require.ErrorContains(t, err, `x.yaml:10:22: parts[0].worker.binary: "ol": give the path of an executable ol, relative to `+dir)
	_, err = load(goodSim + worker)
	require.ErrorContains(t, err, "worker: not for engine sim")
	ol := filepath.Join(dir, "ol")
	require.NoError(t, os.WriteFile(ol, nil, 0o755))
	e, err := load(goodVM + worker)
	require.NoError(t, err)
	require.Equal(t, ol, e.VM.WorkerPath)
	e, err = load(goodVM)
	require.NoError(t, err)
	require.Empty(t, e.VM.WorkerPath)
}

// A guest has certain functions, which take the CPU time that their class says: whatever
// else a workload asks for is refused, and not left out.
func TestWorkloadsThatGuestsCannotHave(t *testing.T) {
	for name, why := range map[string]string{
		"zipf": "it has a population", "cold": "it has a population", "flip": "it has flip", "swap": "it has flip",
		"pareto": "classes[0] has times", "bimodal": "classes[0] has a slow.factor above 2",
	} {
		path := filepath.Join("..", "x.yaml")
		text := strings.Replace(goodVM, "[w]", "[huawei, "+name+"]", 1)
		_, err := parse("x", path, []byte(text))
		require.EqualError(t, err, fmt.Sprintf("%s:5:25: parts[0].workloads[1]: %q: %s, which no guest does: use it in a part of engine sim", path, name, why))
	}
	_, err := parse("x", filepath.Join("..", "x.yaml"), []byte(strings.Replace(goodVM, "[w]", "[huawei, azure, burst, drift, rare, alike, fib15]", 1)))
	require.NoError(t, err)
}

// A workload is known by its name in results: a copy of another has one of its own.
func TestWorkloadsOfOneName(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "workloads"), 0o755))
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "workloads", name+".yaml"), []byte(small), 0o644))
	}
	path := filepath.Join(dir, "x.yaml")
	_, err := parse("x", path, []byte(strings.Replace(goodVM, "[w]", "[a, b]", 1)))
	require.EqualError(t, err, path+`:5:20: parts[0].workloads[1]: "b": its name is "small", which workloads[0] has, too: give it another in `+filepath.Join(dir, "workloads", "b.yaml"))
}
