// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/yamlx"
)

// times is the YAML that gives the functions of an artifact's trace their CPU
// time.
type times struct {
	Times []struct {
		Function yamlx.At[string]        `yaml:"function"`
		N        yamlx.At[int]           `yaml:"n"`
		CPU      yamlx.At[time.Duration] `yaml:"cpu"`
	} `yaml:"times"`
}

type call struct {
	function string
	n        int
}

func readTimes(path string, data []byte) (map[call]yamlx.At[time.Duration], error) {
	var t times
	if err := yamlx.Decode(path, data, &t); err != nil {
		return nil, err
	}
	errs := &yamlx.Errors{File: path}
	if len(t.Times) == 0 {
		errs.Add(yamlx.Pos{}, "times", "missing; want {function, n, cpu} for each")
	}
	out := map[call]yamlx.At[time.Duration]{}
	for i, x := range t.Times {
		at := fmt.Sprintf("times[%d].", i)
		checkCPU(at, x.CPU, errs)
		k := call{x.Function.V, x.N.V}
		if _, twice := out[k]; twice {
			errs.Add(x.Function.Pos(), at+"function", "%s n=%d is there twice", k.function, k.n)
		}
		out[k] = x.CPU
	}
	return out, errs.Err()
}

// loadArtifact makes a workload of a trace in the artifact's form. Each port is a
// function of its own, and a class's CPU time decides its group.
func loadArtifact(traceFile, timesFile string) (Workload, error) {
	data, err := os.ReadFile(timesFile)
	if err != nil {
		return Workload{}, fmt.Errorf("times: %w", err)
	}
	cpu, err := readTimes(timesFile, data)
	if err != nil {
		return Workload{}, err
	}
	f, err := os.Open(traceFile)
	if err != nil {
		return Workload{}, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	entries, err := trace.ReadArtifact(traceFile, f)
	if err != nil {
		return Workload{}, err
	}
	type key struct {
		call
		port string
	}
	var errs []error
	index := map[key]int{}
	base := filepath.Base(traceFile)
	w := Workload{Name: value(strings.TrimSuffix(base, filepath.Ext(base)))}
	for _, e := range entries {
		k := key{call{e.Function, e.N}, e.Port}
		i, known := index[k]
		if !known {
			t, ok := cpu[k.call]
			if !ok {
				errs = append(errs, fmt.Errorf("%s:%d: %s n=%d has no CPU time in %s", traceFile, e.Line, e.Function, e.N, timesFile))
			}
			i = len(w.Classes)
			index[k] = i
			w.Classes = append(w.Classes, Class{Function: value(e.Function), UID: value(e.Port), Port: value(e.Port), N: value(e.N),
				Group: value(results.GroupOf(t.V)), CPU: t})
		}
		w.Classes[i].Count.V++
		w.rows = append(w.rows, trace.Row{Class: i, Gap: e.Gap})
	}
	return w, errors.Join(errs...)
}

// value is v where it does not come from a YAML: without a position.
func value[T any](v T) yamlx.At[T] { return yamlx.At[T]{V: v} }

func isNotExist(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid)
}
