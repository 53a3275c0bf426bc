// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/olyaml"
)

type installFlags struct{ name, config, requirements string }

func (c *cli) installFlags(fs *flag.FlagSet) {
	alias(fs, &c.pack.name, "n", "name", "the function's name (default: the directory's)")
	alias(fs, &c.pack.config, "c", "config", "file to take for ol.yaml")
	alias(fs, &c.pack.requirements, "r", "requirements", "file to take for requirements.txt")
}

// install packs a directory as NAME.tar.gz into the registry. A directory that
// olyaml.Read refuses is an error.
func (c *cli) install() error {
	cfg, err := c.readRunning()
	if err != nil {
		return err
	}
	if config.IsURL(cfg.Registry) {
		return fmt.Errorf("the registry, %s, is a web server: put %s.tar.gz there", cfg.Registry, c.arg)
	}
	if strings.HasSuffix(c.arg, ".git") && (strings.Contains(c.arg, "://") || strings.HasPrefix(c.arg, "git@")) {
		return fmt.Errorf("%s is a repository: git clone --depth 1 it, then install the directory", c.arg)
	}
	dir, err := filepath.Abs(c.arg)
	if err != nil {
		return err
	}
	name := c.pack.name
	if name == "" {
		name = filepath.Base(dir)
	}
	if !config.ValidName(name) {
		return fmt.Errorf("%q is no name for a function: letters, digits, '.', '_', '-' (give one with -n)", name)
	}
	if st, err := os.Stat(dir); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	work, err := os.MkdirTemp("", "ol-install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	for target, from := range map[string]string{olyaml.File: c.pack.config, "requirements.txt": c.pack.requirements} {
		if from == "" {
			continue
		}
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(work, target), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if _, err := olyaml.Read(work); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	to := filepath.Join(cfg.Registry, name+".tar.gz")
	if err := pack(work, to); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "Successfully installed lambda function: %s\n", name)
	return nil
}

// pack writes a .tar.gz of a directory's files.
func pack(dir, to string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(to), ".install-")
	if err != nil {
		return fmt.Errorf("registry: make an archive: %w", err)
	}
	defer os.Remove(tmp.Name())
	zw := gzip.NewWriter(tmp)
	tw := tar.NewWriter(zw)
	err = tw.AddFS(os.DirFS(dir))
	err = errors.Join(err, tw.Close(), zw.Close(), tmp.Close())
	if err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	data, err := os.ReadFile(tmp.Name())
	if err != nil {
		return err
	}
	return atomicfile.Write(to, data, fs.FileMode(0o644))
}
