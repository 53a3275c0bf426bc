package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/internal/yamlx"
)

// Profile is a size.
type Profile struct {
	Name        yamlx.At[string]  `yaml:"name"`
	Invocations yamlx.At[int]     `yaml:"invocations"` // per run
	Rounds      yamlx.At[int]     `yaml:"rounds"`
	TimeFactor  yamlx.At[float64] `yaml:"time_factor"`
	AtLeast     yamlx.At[int]     `yaml:"at_least"`

	// Minutes is about how long Fig 6 takes on 2 CPUs, by accelerator.
	Minutes map[string]yamlx.At[int] `yaml:"minutes"`
}

var accelerators = []string{"kvm", "tcg", "icount"}

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
		if p.Invocations.V < 20 || p.Invocations.V > 1_000_000 {
			errs.Add(p.Invocations.Pos(), at+"invocations", "%d: allowed: 20 to 1000000", p.Invocations.V)
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
