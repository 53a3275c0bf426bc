// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	alpsclient "github.com/ds2-lab/alps/alps/client"
)

// broken lists the conditions that did not hold for a whole measurement: those
// that differ between its begin and its end, and the daemon's problems with a
// function of reqs since start (CLOCK_MONOTONIC, ns).
func broken(before, after alpsclient.Status, start int64, reqs []Request) []string {
	out := []string{}
	names := slices.AppendSeq(slices.Collect(maps.Keys(before.Conditions)), maps.Keys(after.Conditions))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if was, is := before.Conditions[name], after.Conditions[name]; was != is {
			out = append(out, fmt.Sprintf("%s changed in between: at the begin %q, at the end %q", name, was, is))
		}
	}
	for _, p := range after.Problems {
		if p.EndedNS > 0 && int64(p.EndedNS) < start {
			continue
		}
		who := "all functions"
		if len(p.Functions) > 0 {
			mine := slices.DeleteFunc(slices.Clone(p.Functions), func(uid string) bool {
				return !slices.ContainsFunc(reqs, func(q Request) bool { return q.UID == uid })
			})
			if len(mine) == 0 {
				continue
			}
			who = "functions " + strings.Join(mine, ", ")
		}
		out = append(out, fmt.Sprintf("%s (%s): %s", p.What, who, p.Why))
	}
	return out
}
