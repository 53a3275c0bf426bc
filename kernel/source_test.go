// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// If the distribution has no package of the source, the error says what to do instead.
func TestAPackageThatIsNotThere(t *testing.T) {
	const ubuntu = "PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nNAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"
	for release, want := range map[string]string{
		"ID=debian\n": "package linux-source-6.1: apt knows no such package (try apt-get update)",
		ubuntu: "package linux-source-6.1: it is Debian's, and Ubuntu 24.04.3 LTS has none of that name: git clone --depth=1 --branch=linux-6.1.y " +
			"https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git linux-6.1, then -src=linux-6.1",
		"": "package linux-source-6.1: it is Debian's, and this distribution has none of that name: git clone --depth=1 --branch=linux-6.1.y " +
			"https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git linux-6.1, then -src=linux-6.1",
	} {
		require.EqualError(t, noPackage("linux-source-6.1", release), want)
	}
}
