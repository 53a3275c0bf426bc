package apt

import (
	"os"
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

// The machine's sources stay as they are, and a suite it does not have is read.
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
	after, err := os.ReadDir("/var/lib/apt/lists")
	require.NoError(t, err)
	require.Equal(t, len(before), len(after))
}
