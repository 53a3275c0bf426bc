// SPDX-License-Identifier: Apache-2.0

package cgrouptest

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// A request pauses as long as it says, a second and more too.
func TestRequestsPause(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env+"=server", envThreads+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := Process{Scanner: bufio.NewScanner(out), Stdin: in}
	require.True(t, p.Scan())
	for _, pause := range []time.Duration{time.Millisecond, time.Second + time.Millisecond} {
		p.Send(t, Request{Pause: pause})
		s := p.Answer(t)
		require.GreaterOrEqual(t, time.Duration(s.End-s.Begin), pause)
	}
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
}
