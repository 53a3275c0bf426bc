// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ring"
)

func TestTheMirrorIsDebiansOwn(t *testing.T) {
	targets := "http://security.example/debian-security/ Debian-Security\n" +
		"https://vendor.example/apt/ Vendor\nhttp://mirror.example/debian/ Debian\n"
	require.Equal(t, "http://mirror.example/debian/", debianURI(targets))
	require.Empty(t, debianURI("http://archive.example/ubuntu/ Ubuntu\n"))

	t.Setenv(MirrorVariable, "http://other.example/debian")
	m, err := mirror(t.Context())
	require.NoError(t, err)
	require.Equal(t, "http://other.example/debian", m)
}

func TestPackagesAreReadFromAList(t *testing.T) {
	list := parsePackages("Package: a\nVersion: 1:2-3\nDepends: b (= 1), c | d:any (>= 2),e\nDescription: x\n Package: no\nSHA256: 12\n\n" +
		"Package: f\nPre-Depends: g\nVersion: 4\n\n")
	require.Equal(t, []Package{
		{Name: "a", Version: "1:2-3", SHA256: "12", Depends: []string{"b", "c", "d", "e"}},
		{Name: "f", Version: "4", Depends: []string{"g"}},
	}, list)
}

func TestNamesMatchAPattern(t *testing.T) {
	names, err := matching("linux-image-7.3.*-cloud-amd64", []string{"linux-image-7.3.4+deb13-cloud-amd64", "linux-image-7.3.4+deb13-amd64",
		"linux-image-7.30.1+deb13-cloud-amd64", "linux-image-7.3.1+deb13-cloud-amd64", "linux-image-7.3.4+deb13-cloud-amd64-dbg"})
	require.NoError(t, err)
	require.Equal(t, []string{"linux-image-7.3.1+deb13-cloud-amd64", "linux-image-7.3.4+deb13-cloud-amd64"}, names)
	require.True(t, newer(t.Context(), "7.3.10-1", "7.3.4-1"))
	require.False(t, newer(t.Context(), "7.3.4-1~bpo13+1", "7.3.4-1"))
}

func TestTheNewestSourceIsTaken(t *testing.T) {
	require.Equal(t, "6.1.10-1", newestVersion(t.Context(), "Package: linux\nVersion: 6.1.9-1\nFormat: 3.0\n\nPackage: linux\nVersion: 6.1.10-1\n\nPackage: linux\nVersion: 6.1.2-1\n"))
	require.Empty(t, newestVersion(t.Context(), "Package: linux\n"))
}

func TestAPackageThatTheMirrorDroppedIsLookedUpAgain(t *testing.T) {
	calls := 0
	got, err := Again(func() (int, error) {
		if calls++; calls == 1 {
			return 0, fmt.Errorf("kernel: %w", ErrRenewed)
		}
		return calls, nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, got)
	calls = 0
	_, err = Again(func() (int, error) { calls++; return 0, ErrNoMirror })
	require.ErrorIs(t, err, ErrNoMirror)
	require.Equal(t, 1, calls)
}

// Without a network a download fails, and the lists that are in the cache stay; with one
// they are renewed.
func TestTheListsStayUntilThereAreNewOnes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ALPS_CACHE", filepath.Join(dir, "cache"))
	t.Setenv(MirrorVariable, "http://mirror.example/debian")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	script := `#!/bin/sh
for a; do case "$a" in Dir::State::Lists=*) lists=${a#*=};; update|download) what=$a;; esac; done
[ ! -e "` + dir + `/offline" ] || { echo "Temporary failure resolving 'mirror.example'" >&2; exit 100; }
[ "$what" != update ] || echo >"$lists/list"
[ "$what" != download ] || { echo "404 Not Found" >&2; exit 100; }
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte(script), 0o755))
	s, err := Open(t.Context(), "trixie")
	require.NoError(t, err)
	list := filepath.Join(s.lists(), "list")
	before, err := os.Stat(list)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "offline"), nil, 0o644))
	err = s.UnpackBinary(t.Context(), filepath.Join(dir, "out"), "linux-image-x=1")
	require.ErrorContains(t, err, "Temporary failure")
	require.NotErrorIs(t, err, ErrRenewed)
	_, err = Open(t.Context(), "trixie")
	require.NoError(t, err, "no network is needed")
	still, err := os.Stat(list)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, still))

	require.NoError(t, os.Remove(filepath.Join(dir, "offline")))
	require.ErrorIs(t, s.UnpackBinary(t.Context(), filepath.Join(dir, "out"), "linux-image-x=1"), ErrRenewed)
	renewed, err := os.Stat(list)
	require.NoError(t, err)
	require.False(t, os.SameFile(before, renewed))
}

// A suite that the host's sources may not have is read, and the host's package lists stay as they are.
func TestAnotherSuiteIsReadByAConfigurationOfItsOwn(t *testing.T) {
	before, err := os.ReadDir("/var/lib/apt/lists")
	require.NoError(t, err)
	s, err := Open(t.Context(), "trixie")
	ring.Need(t, ring.Network, err == nil, "no Debian mirror can be reached: %v", err)
	require.NoError(t, err)
	src, err := s.Source(t.Context(), "meson")
	require.NoError(t, err)
	require.Equal(t, "meson", src.Name)
	require.NotEmpty(t, src.Version)
	_, err = s.Source(t.Context(), "no-such-package")
	require.Error(t, err)
	p, err := s.Newest(t.Context(), "clang-1*9")
	require.NoError(t, err)
	require.Equal(t, "clang-19", p.Name)
	require.Regexp(t, "^[0-9a-f]{64}$", p.SHA256)
	require.Contains(t, p.Depends, "libllvm19")
	_, err = s.Newest(t.Context(), "no-such-package-*")
	require.EqualError(t, err, "apt: trixie has no package no-such-package-*")
	after, err := os.ReadDir("/var/lib/apt/lists")
	require.NoError(t, err)
	require.Equal(t, len(before), len(after))
}
