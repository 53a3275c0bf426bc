// SPDX-License-Identifier: Apache-2.0

package policyflags

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/model"
)

// NewMode adds the flags of a mode to fs. After fs.Parse, the function returned
// reads them. chosen is false if no flag names a policy: the policy is byDefault then,
// and the caller says so.
func NewMode(fs *flag.FlagSet) func(byDefault string) (m client.Mode, chosen bool, err error) {
	name := fs.String("policy", "", "by `name`: steady; alps, the paper's; sfs; manual, set by alps policy; or cfs to observe only. Left out: steady, but alps with -like=paper or -like=artifact")
	order := fs.String("order", model.OrderBounded, "of alps and manual: off, fifo, strict or bounded")
	step := fs.Duration("step", model.DefaultStep, "of alps and manual: bias between neighbouring ranks under bounded")
	full := fs.Bool("full-slices", false, "report every on-CPU segment, not only a histogram")
	alps := NewALPS(fs, true, true)
	steady := NewSteady(fs, true)
	return func(byDefault string) (client.Mode, bool, error) {
		given := map[string]bool{}
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		m := client.Mode{Policy: *name, FullSlices: *full}
		switch {
		case !given["like"]:
		case alps.like.name == LikeSteady && (m.Policy == "" || m.Policy == client.PolicySteady):
			m.Policy = client.PolicySteady
		case alps.like.name != LikeSteady && (m.Policy == "" || m.Policy == client.PolicyALPS):
			m.Policy = client.PolicyALPS
		default:
			return m, true, fmt.Errorf("-like=%s: not with -policy %s", alps.like.name, m.Policy)
		}
		chosen := m.Policy != ""
		if !chosen {
			m.Policy = byDefault
		}
		err := alps.foreign(m.Policy == client.PolicySteady, "-policy steady")
		not := func(f string) { err = errors.Join(err, fmt.Errorf("-%s: not with -policy %s", f, m.Policy)) }
		if m.Policy == client.PolicyCFS {
			for _, f := range slices.Sorted(maps.Keys(alps.apply)) {
				if given[f] {
					not(f)
				}
			}
		}
		if m.Policy == client.PolicySteady || m.Policy == client.PolicySFS || m.Policy == client.PolicyCFS {
			for _, f := range []string{"order", "step"} {
				if given[f] {
					not(f)
				}
			}
		}
		if m.Policy == client.PolicySteady {
			m.Steady = steady
			return m, chosen, errors.Join(err, steady.Validate())
		}
		if err != nil {
			return m, chosen, err
		}
		m.Order, m.Step = *order, step.String()
		params, err := alps.Params()
		m.Params = &params
		return m, chosen, err
	}
}
