// SPDX-License-Identifier: Apache-2.0

// Package cgroup reads the files of cgroups (version 2) and the cgroups of processes.
package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Root is where version 2 is mounted.
const Root = "/sys/fs/cgroup"

// Of is the path below Root of the cgroup of process pid, a number or "self", whose folder
// is in proc. On a host that has version 1 beside it, the lines of that are passed over.
func Of(proc, pid string) (string, error) {
	name := filepath.Join(proc, pid, "cgroup")
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: no line of cgroup v2", name)
}

// Value is that of a key in a file of lines of a key and a number, such as cpu.stat.
func Value(file, key string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %s: %w", file, key, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s: no line %s", file, key)
}
