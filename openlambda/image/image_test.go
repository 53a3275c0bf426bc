// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

// The image has the server where OpenLambda's worker looks for it, and beside it the modules
// that the server imports.
func TestServerLayer(t *testing.T) {
	data, err := serverLayer()
	require.NoError(t, err)
	again, err := serverLayer()
	require.NoError(t, err)
	require.Equal(t, data, again, "it names the image")
	found := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		found[h.Name] = h.Linkname
	}
	require.Equal(t, "server.py", found["runtimes/python/server_legacy.py"])
	for _, name := range []string{"spin", "runtimes/python/server.py", "runtimes/python/_ol_entry.py", "runtimes/python/_ol_web.py"} {
		require.Contains(t, found, name)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "root.tar"), data, 0o600)) // any layer
	require.NoError(t, assemble(filepath.Join(dir, "lambda.tar"), "x:latest", filepath.Join(dir, "root.tar"), data))
	img, err := tarball.ImageFromPath(filepath.Join(dir, "lambda.tar"), nil)
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2)
}

func TestOptions(t *testing.T) {
	for _, p := range []string{"Flask", "python3-flask;rm", "--x", "a b", ""} {
		_, err := Build(t.Context(), Options{Packages: []string{p}})
		require.ErrorContains(t, err, "want a Debian package, as python3-flask")
	}
	dir := t.TempDir()
	_, err := Build(t.Context(), Options{Wheels: dir})
	require.ErrorContains(t, err, "no *.whl in "+dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a'b.whl"), nil, 0o600))
	_, err = Options{Wheels: dir}.check()
	require.ErrorContains(t, err, "its name cannot be used")
	for _, p := range []string{"python3-flask", "python3-flask=2.2.2-3", "libstdc++6"} {
		_, err := Options{Packages: []string{p}}.check()
		require.NoError(t, err)
	}
}
