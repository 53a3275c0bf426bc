// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// required are some targets with an argument that must be given.
var required = []string{"experiments:compare", "experiments:merge", "experiments:run", "vm:run"}

// flagless are some targets without flags.
var flagless = []string{"figures:fidelity"}

func TestArrange(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"-l":                                    "-l",
		"-h kernel:soak":                        "-h kernel:soak",
		"-h testVM":                             "-h test:guest",
		"test -h":                               "-h test:all",
		"vm:shell -cpus=2 --help":               "-h vm:shell",
		"kernel:build 6.1 -force":               "kernel:build -name=6.1 -force",
		"kernel:build -force":                   "kernel:build -force",
		"experiments:run -engine=sim all":       "experiments:run all -engine=sim",
		"experiments:compare -engine=sim eevdf": "experiments:compare eevdf -engine=sim",
		"experiments:run":                       "experiments:run",
		"experiments:run fig06 fig07 -jobs=2":   "experiments:run fig06 fig07 -jobs=2",
		"experiments:merge a b -results=c":      "experiments:merge a,b -results=c",
		"vm:run -cpus=4 -- ls -h -- x":          "vm:run ls -h -- x -cpus=4",
		"vm:run -id=vm1 -- uname -a":            "vm:run uname -a -id=vm1",
		"figures:fidelity -h":                   "-h figures:fidelity",
		"figures:fidelity check":                "figures:fidelity check",
		"vm:down vm1":                           "vm:down -id=vm1",
		"experiments:plan fig06 -profile=paper": "experiments:plan -name=fig06 -profile=paper",
	} {
		got, err := Arrange(strings.Fields(in), required, flagless)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(got, " "), in)
	}
	got, err := Arrange([]string{"vm:run", "-id=vm1", "--", "uname", "-a"}, required, flagless)
	require.NoError(t, err)
	require.Equal(t, []string{"vm:run", "uname -a", "-id=vm1"}, got, "the command is one argument")
	for in, want := range map[string]string{
		"vm:run -id vm1 -- uname":         `vm:run: "vm1" before -- is no flag: a flag's value is written as in -id=vm1`,
		"experiments:Run -engine=sim":     "experiments:Run: its argument is missing: -h experiments:Run explains it",
		"figures:Fidelity -results=x":     "figures:Fidelity: it has no flags, and -results=x is one",
		"vm:run -cpus=2 --":               "vm:run: its argument is missing: -h vm:run explains it",
		"experiments:compare a -base=c b": `experiments:compare: it takes one argument, not ["a" "b"]`,
	} {
		_, err := Arrange(strings.Fields(in), required, flagless)
		require.EqualError(t, err, want)
	}
}

func TestMageArgs(t *testing.T) {
	require.Equal(t, []string{"mage", "-v", "-h", "vm:shell"}, MageArgs([]string{"mage", "-v", "vm:shell", "-h"}, required, flagless))
	require.Equal(t, []string{"mage", "vm:run", "uname -a", "-cpus=2"}, MageArgs([]string{"mage", "vm:run", "-cpus=2", "--", "uname", "-a"}, required, flagless))
	require.Equal(t, []string{"mage"}, MageArgs([]string{"mage"}, required, flagless))
	t.Setenv("MAGEFILE_HELP", "1")
	require.Equal(t, []string{"mage", "-h", "test:all"}, MageArgs([]string{"mage", "test"}, required, flagless))
}
