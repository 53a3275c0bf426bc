// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
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
