// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	alpsclient "github.com/ds2-lab/alps/alps/client"
)

// fakeKernel is a directory in place of /sys/kernel/sched_ext.
type fakeKernel string

func newFakeKernel(t *testing.T) fakeKernel {
	k := fakeKernel(t.TempDir())
	require.NoError(t, os.Mkdir(filepath.Join(string(k), "root"), 0o755))
	k.set(t, "state", "disabled")
	k.set(t, "enable_seq", "4")
	return k
}

func (k fakeKernel) set(t *testing.T, name, value string) {
	require.NoError(t, os.WriteFile(filepath.Join(string(k), name), []byte(value+"\n"), 0o644))
}

// wellBehaved loads itself when it starts and leaves when it is interrupted.
const wellBehaved = `cd KERNEL
echo "$1 is here"
leave() { echo disabled >state; echo bye; exit 0; }
trap leave INT
echo mine >root/ops; echo 5 >enable_seq; echo enabled >state
while :; do sleep 0.01; done
`

// jobOf is a job with a shell script as its program, and its input.
func jobOf(t *testing.T, k fakeKernel, script string) (Job, io.Reader) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	text := "#!/bin/bash\n" + strings.ReplaceAll(script, "KERNEL", string(k))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "prog", Mode: 0o755, Size: int64(len(text))}))
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	job := Job{Mode: alpsclient.Mode{Policy: "cfs"}, Program: &Program{Name: "prog", Args: []string{"prog", "an argument"}, ArchiveBytes: int64(archive.Len())}}
	require.NoError(t, WriteTrace(&archive, []Request{{ID: 1, Function: "fib", UID: "3", Port: "5002"}}))
	return job, &archive
}

func TestProgramDecidesWhileTheTraceRuns(t *testing.T) {
	k := newFakeKernel(t)
	job, in := jobOf(t, k, wellBehaved)
	out, err := new(Replayer).run(t.Context(), string(k), job, in, func(_ context.Context, m alpsclient.Mode, reqs []Request) (Outcome, error) {
		require.Equal(t, "cfs", m.Policy)
		require.Len(t, reqs, 1, "the trace follows the archive")
		state, err := os.ReadFile(filepath.Join(string(k), "state"))
		require.NoError(t, err)
		require.Equal(t, "enabled\n", string(state))
		return Outcome{Broken: []string{"something else"}}, nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"something else"}, out.Broken)
	require.Equal(t, Charge{Ops: "mine", EnableSeq: "5", Output: "an argument is here\nbye\n"}, *out.Charge)
	left, err := filepath.Glob(filepath.Join(memoryDir(), "scheduler*", "prog"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// A program that was not in charge from the begin to the end makes a run invalid,
// with the reason.
func TestProgramThatIsNotInCharge(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		during func(*testing.T, fakeKernel)
		want   string
	}{
		"ends early": {script: strings.Replace(wellBehaved, "while :; do sleep 0.01; done", "sleep 0.1; echo oh no; echo disabled >state; exit 3", 1),
			want: "scheduler prog ended before the run did: exit status 3\nan argument is here\noh no"},
		"another one": {script: wellBehaved, during: func(t *testing.T, k fakeKernel) { k.set(t, "root/ops", "other") },
			want: `root/ops was "mine", at the end "other"`},
		"loaded anew": {script: wellBehaved, during: func(t *testing.T, k fakeKernel) { k.set(t, "enable_seq", "7") },
			want: `enable_seq was "5", at the end "7"`},
		"thrown out": {script: wellBehaved, during: func(t *testing.T, k fakeKernel) { k.set(t, "state", "disabled") },
			want: `state was "enabled", at the end "disabled"`},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKernel(t)
			job, in := jobOf(t, k, c.script)
			out, err := new(Replayer).run(t.Context(), string(k), job, in, func(context.Context, alpsclient.Mode, []Request) (Outcome, error) {
				if c.during != nil {
					c.during(t, k)
					return Outcome{}, nil
				}
				for alive := true; alive; { // until it has ended
					state, err := os.ReadFile(filepath.Join(string(k), "state"))
					require.NoError(t, err)
					alive = string(state) != "disabled\n"
				}
				return Outcome{}, nil
			})
			require.NoError(t, err)
			require.Len(t, out.Broken, 1)
			require.Contains(t, out.Broken[0], c.want)
		})
	}
}

func TestProgramThatDoesNotLoad(t *testing.T) {
	k := newFakeKernel(t)
	never := func(context.Context, alpsclient.Mode, []Request) (Outcome, error) {
		require.Fail(t, "the trace runs without its scheduler")
		return Outcome{}, nil
	}
	job, in := jobOf(t, k, "echo cannot load >&2; exit 1")
	_, err := new(Replayer).run(t.Context(), string(k), job, in, never)
	require.ErrorContains(t, err, "scheduler prog: not in charge: it ended: exit status 1\ncannot load")

	k.set(t, "state", "enabled")
	k.set(t, "root/ops", "other")
	job, in = jobOf(t, k, wellBehaved)
	_, err = new(Replayer).run(t.Context(), string(k), job, in, never)
	require.ErrorContains(t, err, "scheduler prog: another one (other) is enabled already")

	_, err = new(Replayer).run(t.Context(), t.TempDir(), job, in, never)
	require.ErrorContains(t, err, "this kernel has no sched_ext")

	k = newFakeKernel(t)
	job, in = jobOf(t, k, wellBehaved)
	_, err = new(Replayer).run(t.Context(), string(k), job, in, func(context.Context, alpsclient.Mode, []Request) (Outcome, error) {
		k.set(t, "enable_seq", "9")
		return Outcome{}, fmt.Errorf("not drained")
	})
	require.ErrorContains(t, err, "not drained\nscheduler prog was not in charge", "both are told")
}

func TestArchivesStayInTheirDirectory(t *testing.T) {
	for _, name := range []string{"../up", "/etc/up"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755}))
		require.NoError(t, w.Close())
		require.ErrorContains(t, unpack(&b, int64(b.Len()), t.TempDir()), "is not the name of a file in it")
	}
	require.Error(t, unpack(strings.NewReader("no archive"), 10, t.TempDir()))
}

func TestLastBytes(t *testing.T) {
	var l lastBytes
	for range 3 {
		_, err := l.Write(bytes.Repeat([]byte("x"), outputKept))
		require.NoError(t, err)
	}
	_, err := l.Write([]byte("end"))
	require.NoError(t, err)
	require.Len(t, l.String(), outputKept)
	require.True(t, strings.HasSuffix(l.String(), "xend"))
}
