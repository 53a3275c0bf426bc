// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Files are the program that runs in every container: server.py and what it
// imports. The worker brings its own, so it works with any image that has python3.
//
//go:embed *.py
var Files embed.FS

// Install puts Files into a directory.
func Install(dir string) error {
	names, err := fs.Glob(Files, "*.py")
	for _, name := range names {
		data, readErr := Files.ReadFile(name)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	return err
}

// Command is the command line that runs server.py in a container.
func Command(c config.Config) []string {
	args := []string{"python3", "/host/server.py", c.Invocation, c.Sched, strconv.Itoa(c.Concurrency), "/handler", "/host"}
	if c.PlatformUS > 0 {
		args = append(args, strconv.Itoa(c.PlatformUS))
	}
	return args
}
