// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// Shard is one of several parts of a plan, each for one host. The zero Shard is
// all of the plan.
type Shard struct {
	Index, Of int // Index from 1
}

// indexVariables are the environment variables by which Kubernetes and Slurm, which
// start the same command several times, tell each process its number. first names the
// variable with the lowest number; "": it is 0.
var indexVariables = []struct{ name, first string }{
	{"JOB_COMPLETION_INDEX", ""},                    // Kubernetes
	{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN"}, // Slurm
}

// ParseShard reads "i/n", with i from 1 to n, or "/n" with i from the environment that
// Kubernetes or Slurm gave this process. "" is the zero Shard. Anything else, and no
// such environment, is an error.
func ParseShard(s string, getenv func(string) string) (Shard, error) {
	if s == "" {
		return Shard{}, nil
	}
	index, of, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(of)
	if err != nil || n < 1 {
		return Shard{}, fmt.Errorf("shard %q: want i/n, as 1/3, or /n under Kubernetes or Slurm", s)
	}
	i, err := strconv.Atoi(index)
	if index == "" {
		i, err = indexFrom(getenv)
	}
	switch {
	case err != nil:
		return Shard{}, fmt.Errorf("shard %q: %w", s, err)
	case i < 1 || i > n:
		return Shard{}, fmt.Errorf("shard %d of %d: allowed: 1 to %d", i, n, n)
	}
	return Shard{i, n}, nil
}

func indexFrom(getenv func(string) string) (int, error) {
	var names []string
	for _, v := range indexVariables {
		names = append(names, v.name)
		value := getenv(v.name)
		if value == "" {
			continue
		}
		i, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("%s=%s is not a number", v.name, value)
		}
		first := 0
		if v.first != "" {
			if first, err = strconv.Atoi(getenv(v.first)); err != nil {
				return 0, fmt.Errorf("%s=%s is not a number", v.first, getenv(v.first))
			}
		}
		return i - first + 1, nil
	}
	return 0, fmt.Errorf("no index: none of %s is set", strings.Join(names, ", "))
}

// Has reports whether a unit of the plan, counted from 0, is in the shard.
func (s Shard) Has(unit int) bool { return s.Of == 0 || unit%s.Of == s.Index-1 }

// HasOne reports whether a unit of [from, to) is in the shard.
func (s Shard) HasOne(from, to int) bool {
	for unit := from; unit < to; unit++ {
		if s.Has(unit) {
			return true
		}
	}
	return false
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Of) }
