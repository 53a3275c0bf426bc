// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/oltest"
)

// With OL_MAIN the test binary is ol itself, for tests that need it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("OL_MAIN") != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// ol runs ol with args in a process, and returns its output and exit code.
func ol(t testing.TB, d *oltest.Docker, args ...string) (stdout, stderr string, code int) {
	cmd := olCommand(d, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func olCommand(d *oltest.Docker, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "OL_MAIN=1", "DOCKER_HOST="+d.Host())
	return cmd
}
