// SPDX-License-Identifier: Apache-2.0

// Package cpulist reads lists of CPUs as the kernel writes them.
package cpulist

import (
	"fmt"
	"strconv"
	"strings"
)

// maxCPU is the largest number of a CPU: the kernel's NR_CPUS is at most 8192.
const maxCPU = 8191

// Parse reads a list such as 1-3,5 in its order; "" is no list. The numbers are
// not checked against the CPUs of this host.
func Parse(s string) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	var cpus []int
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(lo)
		last := first
		if err == nil && ranged {
			last, err = strconv.Atoi(hi)
		}
		if err != nil || first < 0 || last < first || last > maxCPU {
			return nil, fmt.Errorf("CPUs %q: want a list such as 1-3,5", s)
		}
		for c := first; c <= last; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
