// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ds2-lab/alps/internal/cache"
)

// Built is a kernel that is ready to boot.
type Built struct {
	Name         string `json:"name"`    // in kernels.yaml
	Release      string `json:"release"` // what uname -r will say
	Source       string `json:"source"`  // commit, package version or tree digest
	ConfigDigest string `json:"config_digest"`
	Key          string `json:"key"`      // of everything that went into it; names its folder in the cache
	Compiler     string `json:"compiler"` // versions of gcc, ld and pahole; of a prebuilt kernel, of its compiler

	// Paths of files in the cache.
	BzImage string `json:"-"`
	Initrd  string `json:"-"` // its initramfs; "" if everything is built in
	Config  string `json:"-"`

	Hit bool `json:"-"` // it was in the cache already
}

// Files of a kernel in the cache.
const (
	bzImageName = "bzImage"
	initrdName  = "initrd"
	configName  = "config"
	metaName    = "kernel.json"

	vmlinuxName = "vmlinux"
)

// Symbols is the path of the vmlinux with symbols, for gdb and crash, that belongs
// to the bzImage at path. For a prebuilt kernel, which has none, the error names the
// package that has it.
func Symbols(path string) (string, error) {
	vmlinux := filepath.Join(filepath.Dir(path), vmlinuxName)
	if _, err := os.Stat(vmlinux); err == nil {
		return vmlinux, nil
	}
	b, err := read(filepath.Dir(path), true)
	if err != nil {
		return "", fmt.Errorf("no symbols beside %s: %w", path, err)
	}
	return "", fmt.Errorf("kernel %s is Debian's: its symbols are in the package %s%s-dbg", b.Name, imagePrefix, b.Release)
}

// read is the kernel in a folder of the cache.
func read(dir string, hit bool) (Built, error) {
	data, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		return Built{}, fmt.Errorf("read a built kernel: %w", err)
	}
	built := Built{Hit: hit, BzImage: filepath.Join(dir, bzImageName), Config: filepath.Join(dir, configName)}
	if _, err := os.Stat(filepath.Join(dir, initrdName)); err == nil {
		built.Initrd = filepath.Join(dir, initrdName)
	}
	if err := json.Unmarshal(data, &built); err != nil {
		return Built{}, fmt.Errorf("kernel: %s: %w", filepath.Join(dir, metaName), err)
	}
	return built, nil
}

// meta is the content of kernel.json, from which read makes b again.
func (b Built) meta() ([]byte, error) { return json.MarshalIndent(b, "", "\t") }

// Cached are the kernels in the cache, built and prebuilt.
func Cached() ([]Built, error) {
	entries, err := cache.List("kernel")
	if err != nil {
		return nil, err
	}
	var list []Built
	for _, e := range entries {
		b, err := read(e.Dir, true)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}
