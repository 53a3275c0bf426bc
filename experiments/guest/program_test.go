// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that is linked dynamically runs from the directory of its archive, with
// the loader and the libraries in that, and none of the system's.
func TestProgramBringsItsLibraries(t *testing.T) {
	program, err := exec.LookPath("ls")
	require.NoError(t, err)
	p, err := LoadProgram(t.Context(), program+" -a libc.so.6", "", nil)
	require.NoError(t, err)
	require.Equal(t, "ls", p.Name)
	again, err := LoadProgram(t.Context(), "./ls", filepath.Dir(program), nil)
	require.NoError(t, err)
	require.Equal(t, p.archive, again.archive, "the same files give the same bytes")
	require.Equal(t, p.Digest, again.Digest)

	dir := t.TempDir()
	r := tar.NewReader(bytes.NewReader(p.archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, h.Name), data, 0o755))
	}
	job := p.Job()
	require.EqualValues(t, len(p.archive), job.ArchiveBytes)
	cmd := exec.Command(filepath.Join(dir, job.Args[0]), job.Args[1:]...)
	cmd.Dir, cmd.Env = dir, []string{"LD_DEBUG=libs"}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "libc.so.6\n")
	require.NotRegexp(t, "calling init: /(usr|lib)", string(out), "every library is the directory's")
	require.Nil(t, (*Program)(nil).Job())
}

// A program that this host links to another library is another scheduler.
func TestAProgramIsNamedByItsLibrariesToo(t *testing.T) {
	program, err := exec.LookPath("ls")
	require.NoError(t, err)
	files, _, err := closure(t.Context(), program)
	require.NoError(t, err)
	require.Greater(t, len(files), 2, "program, loader, libraries")
	library, err := os.ReadFile(files[2])
	require.NoError(t, err)
	dir := t.TempDir()
	t.Setenv("LD_LIBRARY_PATH", dir)
	digestWith := func(library []byte) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(files[2])), library, 0o755))
		p, err := LoadProgram(t.Context(), program, "", nil)
		require.NoError(t, err)
		return p.Digest
	}
	first := digestWith(library)
	require.Equal(t, first, digestWith(library))
	require.NotEqual(t, first, digestWith(append(library, 0)))
}

func TestWhatIsNoProgram(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\n"), 0o755))
	for line, want := range map[string]string{
		"":         "the command is empty",
		"./script": "no ELF program",
		"./gone":   "scheduler gone: ",
	} {
		_, err := LoadProgram(t.Context(), line, dir, nil)
		require.ErrorContains(t, err, want)
	}
}
