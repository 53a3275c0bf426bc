// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/internal/pagetest"
)

// defines are the #define lines of the BPF programs in a folder, as they are written,
// without comments.
func defines(t *testing.T, folder string) map[string]string {
	found := map[string]string{}
	for _, pattern := range []string{"*.bpf.c", "*.bpf.h"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range regexp.MustCompile(`(?m)^#define\s+(\w+)\s+([^/\n]+)`).FindAllStringSubmatch(string(text), -1) {
				found[m[1]] = strings.TrimSpace(m[2])
			}
		}
	}
	require.NotEmpty(t, found)
	return found
}

// number evaluates a product of integers and other defines.
func number(t *testing.T, all map[string]string, name string) int64 {
	text, ok := all[name]
	require.True(t, ok, "no #define %s", name)
	product := int64(1)
	for factor := range strings.SplitSeq(strings.Trim(text, "()"), "*") {
		factor = strings.TrimRight(strings.TrimSpace(factor), "UL")
		var n int64
		if _, known := all[factor]; known {
			n = number(t, all, factor)
		} else {
			_, err := fmt.Sscan(factor, &n)
			require.NoError(t, err, "#define %s %s", name, text)
		}
		product *= n
	}
	return product
}

// What C and Go both say is the same.
func TestConstantsAreThoseOfTheModel(t *testing.T) {
	all := defines(t, ".")
	for name, want := range map[string]int64{
		"MAX_FUNCTIONS":  MaxFunctions,
		"SLICE_BUCKETS":  SliceBuckets,
		"STEADY_STEPS":   policy.MaxSteps,
		"SLOPE_BITS":     model.SlopeBits,
		"MIN_INDEX_NS":   int64(policy.MinIndex),
		"BEYOND_NS":      int64(policy.BeyondQuantum),
		"LEAST_SLICE_US": model.LeastSlice.Microseconds(),
		"MAX_SLICE_US":   model.MaxSlice.Microseconds(),
		"IDLE_NS":        int64(model.NoInvocation),
		"MIN_BIAS_US":    model.MinBias.Microseconds(),
		"SERVER_GRACE":   int64(model.ServerGrace),
	} {
		require.Equal(t, want, number(t, all, name), name)
	}
	require.Equal(t, model.MaxSlice, MaxSlice)
}

// The same of the programs of sched_ext, which the simulator imitates.
func TestConstantsOfSchedExtAreThoseOfTheModel(t *testing.T) {
	all := defines(t, "scx")
	for name, want := range map[string]int64{
		"MAX_STEPS":      policy.MaxSteps,
		"SLOPE_BITS":     model.SlopeBits,
		"LEAST_INDEX":    int64(policy.MinIndex),
		"BEYOND_QUANTUM": int64(policy.BeyondQuantum),
		"LONGEST_SLICE":  int64(model.SchedExtSlice),
		"SERVER_GRACE":   int64(model.ServerGrace),
	} {
		require.Equal(t, want, number(t, all, name), name)
	}
	pagetest.Says(t, "docs/sched_ext.md",
		fmt.Sprintf("goes before all others for its first %d ms of CPU time", model.ServerGrace.Milliseconds()),
		fmt.Sprintf("for %d ms of CPU time, or to the end of its quantum", model.SchedExtSlice.Milliseconds()),
		fmt.Sprintf("ahead of it by %d ms of virtual time", number(t, all, "WAKES_BEHIND")/1e6))
}

// docs/kernel.md says the same as the code.
func TestConstantsOfThePageOnTheKernel(t *testing.T) {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }
	bias := policy.DefaultSteady().Bias
	pagetest.Says(t, "docs/kernel.md",
		"rank × "+seconds(model.StrictStep)+" = `strict`",
		fmt.Sprintf("at most %d steps of the Gittins index", policy.MaxSteps),
		fmt.Sprintf("An index of 1 s has a bias of %s, one of 16 s %s", seconds(bias(time.Second)), seconds(bias(16*time.Second))),
		fmt.Sprintf("%s while a function has an invocation", strings.ReplaceAll(model.MinBias.String(), "µs", " µs")),
		fmt.Sprintf("a slice over %s", seconds(MaxSlice)))
}

// docs/observer.md says the same as the code.
func TestConstantsOfThePageOnTheObserver(t *testing.T) {
	all := defines(t, ".")
	program, err := os.ReadFile("alps.bpf.c")
	require.NoError(t, err)
	require.Contains(t, string(program), "BPF_MAP_TYPE_RINGBUF);\n\t__uint(max_entries, 1 << 22);")
	pagetest.Says(t, "docs/observer.md",
		fmt.Sprintf("%s invocations and %s threads at a time", pagetest.Thousands(number(t, all, "MAX_RUNNING")), pagetest.Thousands(number(t, all, "MAX_TASKS"))),
		fmt.Sprintf("%d MiB of events", 1<<22>>20),
		fmt.Sprintf("`idle` (%d ms unless the function says otherwise)", DefaultIdle.Milliseconds()))
}
