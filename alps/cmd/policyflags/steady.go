// SPDX-License-Identifier: Apache-2.0

package policyflags

import (
	"flag"
	"time"

	"github.com/ds2-lab/alps/alps/policy"
)

// LikeSteady is the value of -like that names another policy, not parameters of ALPS.
const LikeSteady = "steady"

// NewSteady adds the flags of policy.SteadyParams to fs. Those about bias, slices and
// the period make sense only where functions run; running says whether they do. After
// fs.Parse the parameters are those given; they are not checked.
func NewSteady(fs *flag.FlagSet, running bool) *policy.SteadyParams {
	p := policy.DefaultSteady()
	number := func(name string, to *float64, usage string) { fs.Float64Var(to, name, *to, "steady: "+usage) }
	length := func(name string, to *time.Duration, usage string) {
		fs.DurationVar(to, name, *to, "steady: "+usage)
	}
	number("memory", &p.Memory, "a record multiplies the weight of its function's older ones by 1 − 1/memory")
	number("pool-memory", &p.PoolMemory, "likewise of the records of all functions, the pool")
	number("prior", &p.Prior, "weight of the pool in a function's histogram, in `records`")
	if running {
		length("octave", &p.Octave, "bias for each doubling of the index")
		length("floor", &p.Floor, "no bias up to this index")
		length("group-slice", &p.GroupSlice, "a function keeps the core for so long")
		length("guard-wait", &p.GuardWait, "the last function of a core goes first after so long,")
		length("guard-slice", &p.GuardSlice, "for so long,")
		length("guard-every", &p.GuardEvery, "at most so often")
		length("steady-period", &p.Period, "make the tables anew so often")
	}
	return &p
}

// steadyFlags are the names of the flags that NewSteady adds.
func steadyFlags() map[string]bool {
	names := map[string]bool{}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	NewSteady(fs, true)
	fs.VisitAll(func(f *flag.Flag) { names[f.Name] = true })
	return names
}
