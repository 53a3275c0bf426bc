// SPDX-License-Identifier: Apache-2.0

// Package registry finds functions' code: NAME.tar.gz, NAME.py or a directory NAME in a
// directory, NAME.tar.gz or NAME.py under an HTTP prefix. It copies the code into a new
// directory, in which NAME.py is called f.py, so that the registry may change or
// vanish while the code runs.
package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/olyaml"
)

// ErrNotFound means that there is no function of that name.
var ErrNotFound = errors.New("lambda not found")

// Code is a function's code as it was at one moment.
type Code struct {
	Dir      string // belongs to the caller, who removes it
	Version  string // changes when the code does
	Function olyaml.Function
}

// Registry is safe for use by several goroutines.
type Registry struct {
	prefix string
	out    string // where directories are made
	client http.Client

	lastID atomic.Int64

	mu   sync.Mutex
	pins map[string]validator // by URL: of the version last downloaded from it
}

// New returns the registry at prefix. It makes directories in out, which must
// exist.
func New(prefix, out string) *Registry {
	r := &Registry{prefix: strings.TrimSuffix(prefix, "/"), out: out, pins: map[string]validator{},
		client: http.Client{Timeout: time.Minute}}
	r.lastID.Store(1000)
	return r
}

// Pull returns the code of the function called name, or Code{Version: have} with no Dir if
// the code is still of the version have. ErrNotFound: there is no such function.
func (r *Registry) Pull(ctx context.Context, name, have string) (Code, error) {
	if !config.ValidName(name) {
		return Code{}, fmt.Errorf("bad lambda name '%s', can only contain letters, numbers, period, dash, and underscore", name)
	}
	pull := r.pullFile
	paths := []string{name + ".tar.gz", name + ".py", name}
	if config.IsURL(r.prefix) {
		pull, paths = r.pullURL, paths[:2]
	}
	for i := range paths {
		paths[i] = r.prefix + "/" + paths[i]
	}
	for _, path := range paths {
		code, err := pull(ctx, path, name, have)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return Code{}, fmt.Errorf("lambda %s: %w", name, err)
		}
		return code, nil
	}
	return Code{}, fmt.Errorf("%w at any of these locations: %s", ErrNotFound, strings.Join(paths, ", "))
}

func (r *Registry) pullFile(_ context.Context, path, name, have string) (Code, error) {
	version, err := fingerprint(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Code{}, ErrNotFound
	}
	if err != nil || version == have {
		return Code{Version: version}, err
	}
	return r.make(name, version, func(dir string) error {
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case st.IsDir():
			return os.CopyFS(dir, os.DirFS(path))
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return install(dir, path, f)
	})
}

// fingerprint is a digest of names, modes, sizes and times of the file, or of all in the directory.
func fingerprint(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path) // a link counts as what it leads to
	if err != nil {
		return "", err
	}
	h := sha256.New()
	err = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v %d %d\n", p, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// make has fill write a function's files to a new directory, and reads what they say.
func (r *Registry) make(name, version string, fill func(dir string) error) (Code, error) {
	dir := filepath.Join(r.out, fmt.Sprintf("%d-%s", r.lastID.Add(1), name))
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = fill(dir)
	}
	var f olyaml.Function
	if err == nil {
		f, err = olyaml.Read(dir)
	}
	if err != nil {
		return Code{}, errors.Join(err, os.RemoveAll(dir))
	}
	return Code{Dir: dir, Version: version, Function: f}, nil
}
