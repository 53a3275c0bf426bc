// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/yamlx"
)

// Profile is how large runs in guests are, how many there are, and which.
type Profile struct {
	Name        yamlx.At[string]        `yaml:"name"`
	Invocations yamlx.At[int]           `yaml:"invocations"` // per run
	CPUTime     yamlx.At[time.Duration] `yaml:"cpu_time"`    // the most of a run per function CPU: where the invocations take more, fewer are made; 0: any
	Rounds      yamlx.At[int]           `yaml:"rounds"`      // of every series
	TimeFactor  yamlx.At[float64]       `yaml:"time_factor"` // CPU times as a multiple of the workload's
	AtLeast     yamlx.At[int]           `yaml:"at_least"`    // invocations of each class

	Only *Subset `yaml:"only"` // nil: everything

	// Minutes is about how long all that runs in a guest takes on 2 CPUs, by accelerator.
	Minutes map[string]yamlx.At[int] `yaml:"minutes"`
}

// RenamedKeys implements yamlx.Renamer.
func (Profile) RenamedKeys() map[string]string { return map[string]string{"work": "cpu_time"} }

// Subset is the part of the experiments that a profile runs in a guest. An empty
// field leaves nothing out.
type Subset struct {
	Experiments []yamlx.At[string] `yaml:"experiments"` // the only ones of All; an experiment that is named runs anyway
	Workloads   []yamlx.At[string] `yaml:"workloads"`   // the only ones of an experiment that has any of them; others run all of theirs
	Series      []yamlx.At[string] `yaml:"series"`      // likewise
}

// MinInvocations is how many invocations a run has at least.
const MinInvocations = 20

// Apply returns the part with the workloads and series that the profile runs. A series
// on one that does not run is left out.
func (p Profile) Apply(v VM) VM {
	if p.Only == nil {
		return v
	}
	v.Mixes = only(v.Mixes, p.Only.Workloads, func(w Workload) string { return w.Name.V })
	v.Series = only(v.Series, p.Only.Series, func(s Series) string { return s.Name.V })
	v.Series = slices.DeleteFunc(slices.Clone(v.Series), func(s Series) bool {
		return !s.On.IsZero() && !slices.ContainsFunc(v.Series, func(base Series) bool { return base.Name.V == s.On.V })
	})
	return v
}

// Restriction says which workloads and series the profile runs of an experiment
// that has any of them; "" if it runs all.
func (p Profile) Restriction() string {
	if p.Only == nil {
		return ""
	}
	var parts []string
	for _, x := range []struct {
		what  string
		names []yamlx.At[string]
	}{{"workloads", p.Only.Workloads}, {"series", p.Only.Series}} {
		var names []string
		for _, n := range x.names {
			names = append(names, n.V)
		}
		if len(names) > 0 {
			parts = append(parts, x.what+" "+strings.Join(names, ", "))
		}
	}
	return strings.Join(parts, " and ")
}

// Check complains about names in p.Only that nothing in measured has: such a name
// would choose everything. measured are all experiments that run in a guest, and dir
// is that of profiles.yaml.
func (p Profile) Check(dir string, measured []Experiment) error {
	if p.Only == nil || len(measured) == 0 {
		return nil
	}
	var experiments, workloads, series []string
	for _, e := range measured {
		experiments = append(experiments, e.Name)
		for _, w := range e.VM.Mixes {
			workloads = append(workloads, w.Name.V)
		}
		for _, s := range e.VM.Series {
			series = append(series, s.Name.V)
		}
	}
	errs := &yamlx.Errors{File: filepath.Join(dir, "profiles.yaml")}
	for _, x := range []struct {
		field     string
		names     []yamlx.At[string]
		available []string
	}{
		{"experiments", p.Only.Experiments, experiments},
		{"workloads", p.Only.Workloads, workloads},
		{"series", p.Only.Series, series},
	} {
		slices.Sort(x.available)
		for _, n := range x.names {
			if !slices.Contains(x.available, n.V) {
				errs.Add(n.Pos(), "only."+x.field, "%q: what runs in a guest has: %s", n.V, strings.Join(slices.Compact(x.available), ", "))
			}
		}
	}
	return errs.Err()
}

// Includes says whether an experiment is among all that the profile runs in a guest.
func (p Profile) Includes(experiment string) bool {
	return p.Only == nil || len(p.Only.Experiments) == 0 || slices.ContainsFunc(p.Only.Experiments, func(n yamlx.At[string]) bool { return n.V == experiment })
}

// only returns the elements of all that are in names; all of them if none is.
func only[T any](all []T, names []yamlx.At[string], name func(T) string) []T {
	var out []T
	for _, x := range all {
		if slices.ContainsFunc(names, func(n yamlx.At[string]) bool { return n.V == name(x) }) {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return all
	}
	return out
}

var accelerators = []string{"kvm", "tcg", "vtime"}

// LoadProfile reads dir/profiles.yaml and returns the profile called name.
func LoadProfile(dir, name string) (Profile, error) {
	path := filepath.Join(dir, "profiles.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return Profile{}, fmt.Errorf("profiles: %w", err)
	}
	var f struct {
		Profiles []Profile `yaml:"profiles"`
	}
	if err := yamlx.Decode(path, data, &f); err != nil {
		return Profile{}, err
	}
	errs := &yamlx.Errors{File: path}
	var names []string
	found := -1
	for i, p := range f.Profiles {
		at := fmt.Sprintf("profiles[%d].", i)
		names = append(names, p.Name.V)
		if p.Name.V == name {
			found = i
		}
		if p.Invocations.V < MinInvocations || p.Invocations.V > 1_000_000 {
			errs.Add(p.Invocations.Pos(), at+"invocations", "%d: allowed: %d to 1000000", p.Invocations.V, MinInvocations)
		}
		if w := p.CPUTime; !w.IsZero() && (w.V < time.Second || w.V > 24*time.Hour) {
			errs.Add(w.Pos(), at+"cpu_time", "%s: allowed: 1s to 24h", w.V)
		}
		if p.Rounds.V < 1 || p.Rounds.V > 100 {
			errs.Add(p.Rounds.Pos(), at+"rounds", "%d: allowed: 1 to 100", p.Rounds.V)
		}
		for accel, m := range p.Minutes {
			if !slices.Contains(accelerators, accel) || m.V < 1 {
				errs.Add(m.Pos(), at+"minutes."+accel, "%d: allowed: at least 1 for %s", m.V, strings.Join(accelerators, ", "))
			}
		}
		if p.TimeFactor.V <= 0 || p.TimeFactor.V > 100 {
			errs.Add(p.TimeFactor.Pos(), at+"time_factor", "%v is outside (0, 100]", p.TimeFactor.V)
		}
	}
	if err := errs.Err(); err != nil {
		return Profile{}, err
	}
	if found < 0 {
		return Profile{}, fmt.Errorf("profile %q: allowed: %s", name, strings.Join(names, ", "))
	}
	return f.Profiles[found], nil
}
