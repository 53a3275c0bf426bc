// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/olyaml"
)

// ErrNoList means that the registry is a web server, which has no list of its functions.
var ErrNoList = errors.New("a registry of the web has no list of its functions")

// Names are the functions that the registry has, sorted. ErrNoList: it is a web server.
func (r *Registry) Names() ([]string, error) {
	if config.IsURL(r.prefix) {
		return nil, ErrNoList
	}
	entries, err := os.ReadDir(r.prefix)
	if err != nil {
		return nil, fmt.Errorf("registry: list functions: %w", err)
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasSuffix(name, ".tar.gz"):
			name = strings.TrimSuffix(name, ".tar.gz")
		case strings.HasSuffix(name, ".py"):
			name = strings.TrimSuffix(name, ".py")
		default:
			if st, err := os.Stat(filepath.Join(r.prefix, name)); err != nil || !st.IsDir() {
				continue
			}
		}
		if config.ValidName(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Peek reads a function's ol.yaml without its code, from a registry on disk. version changes when
// ol.yaml may have; if it equals have, nothing is read. ErrNotFound: there is no such function.
func (r *Registry) Peek(name, have string) (f olyaml.Function, version string, err error) {
	for _, file := range []string{name + ".tar.gz", name + ".py", name} {
		full := filepath.Join(r.prefix, file)
		st, err := os.Stat(full)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return f, "", err
		}
		read := func() ([]byte, error) { return nil, nil }
		switch {
		case st.IsDir():
			yaml := filepath.Join(full, olyaml.File)
			if inner, err := os.Stat(yaml); err == nil {
				st = inner
			}
			read = func() ([]byte, error) { return os.ReadFile(yaml) }
		case strings.HasSuffix(file, ".tar.gz"):
			read = func() ([]byte, error) { return fileIn(full, olyaml.File) }
		}
		version = fmt.Sprintf("%s %d %d", file, st.Size(), st.ModTime().UnixNano())
		if version == have {
			return f, version, nil
		}
		data, err := read()
		if errors.Is(err, fs.ErrNotExist) {
			data, err = nil, nil
		}
		if err == nil {
			f, err = olyaml.Parse(data)
		}
		return f, version, err
	}
	return f, "", ErrNotFound
}

// fileIn is the content of one file of a .tar.gz. More than 1 MiB is an error. fs.ErrNotExist: it has no such file.
func fileIn(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("not a .tar.gz: %w", err)
	}
	for tr := tar.NewReader(io.LimitReader(zr, maxBytes)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, fs.ErrNotExist
		}
		if err != nil {
			return nil, fmt.Errorf("not a .tar.gz: %w", err)
		}
		if h.Typeflag == tar.TypeReg && path.Clean(h.Name) == name {
			data, err := io.ReadAll(io.LimitReader(tr, 1<<20+1))
			if err == nil && len(data) > 1<<20 {
				return nil, fmt.Errorf("%s: larger than 1 MiB", name)
			}
			return data, err
		}
	}
}
