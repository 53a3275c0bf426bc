// SPDX-License-Identifier: Apache-2.0

// Package exptest makes directories of experiments for tests.
package exptest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Dir is a directory with the repository's machines, workloads and traces, the
// experiment NAME.yaml, and the profiles smoke (240 invocations) and tiny (30). The
// test's package must lie directly in experiments/.
func Dir(t *testing.T, name, experiment string) string {
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

// TwoLoads is a format with which an experiment in a guest begins: huawei at two
// loads. Its %s is the figure; the series follow.
const TwoLoads = `figure: %s
title: t
parts:
  - engine: vm
    workloads: [huawei]
    loads: [0.9, 0.7]
    seed: 1
    series:
`
