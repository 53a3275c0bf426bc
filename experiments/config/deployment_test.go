// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDeployments(t *testing.T) {
	load := func(deployment, loads string) (Experiment, error) {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(filepath.Join(dir, "workloads"), os.DirFS("../workloads")))
		require.NoError(t, os.CopyFS(filepath.Join(dir, "traces"), os.DirFS("../traces")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yaml"), []byte(`figure: fig06
title: x
parts:
  - engine: vm
    deployment: `+deployment+`
    workloads: [huawei]
    loads: `+loads+`
    series: [{name: cfs}]
`), 0o644))
		return Load(dir, "x")
	}
	e, err := load("paper", "[0.9, 0.7]")
	require.NoError(t, err)
	require.Equal(t, AsPaper, e.VM.Deployment.V)
	_, err = load("paper", "[0.85]")
	require.ErrorContains(t, err, "x.yaml:7:13: parts[0].loads: 0.85: the paper's client knows .9, .8 and .7")
	_, err = load("apart", "[0.85]")
	require.NoError(t, err)
	_, err = load("together", "[0.9]")
	require.ErrorContains(t, err, `x.yaml:5:17: parts[0].deployment: "together": allowed: apart, paper`)
}
