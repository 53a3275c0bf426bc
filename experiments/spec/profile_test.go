package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProfilesAreChecked(t *testing.T) {
	dir := t.TempDir()
	load := func(text string) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "profiles.yaml"), []byte("profiles:\n  - {"+text+"}\n"), 0o644))
		_, err := LoadProfile(dir, "a")
		return err
	}
	require.NoError(t, load("name: a, invocations: 20, rounds: 1, time_factor: 1, minutes: {kvm: 1, icount: 2}"))
	for text, want := range map[string]string{
		"name: a, invocations: 19, rounds: 1, time_factor: 1":                       "profiles.yaml:2:28: profiles[0].invocations: 19: allowed: 20 to 1000000",
		"name: a, invocations: 20, rounds: 0, time_factor: 1":                       "rounds: 0: allowed: 1 to 100",
		"name: a, invocations: 20, rounds: 1, time_factor: 0":                       "time_factor: 0 is outside (0, 100]",
		"name: a, invocations: 20, rounds: 1, time_factor: 1, minutes: {kvm: 0}":    "minutes.kvm: 0: allowed: at least 1",
		"name: a, invocations: 20, rounds: 1, time_factor: 1, minutes: {vmware: 9}": "minutes.vmware: 9: allowed: at least 1 for kvm, tcg, icount",
		"name: b, invocations: 20, rounds: 1, time_factor: 1":                       `profile "a": allowed: b`,
	} {
		require.ErrorContains(t, load(text), want)
	}
}
