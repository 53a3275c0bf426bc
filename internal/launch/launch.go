// SPDX-License-Identifier: Apache-2.0

// Package launch is mage without installing it, for go run mage.go.
//
// Unlike mage, any number of these processes work in one checkout at once, also from
// its subfolders. mage writes its main program into the checkout and removes it, so
// they compile one at a time. The targets then run in place of this process.
package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/magefile/mage/mage"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/tree"
)

// Main runs a target as args say, see Arrange, and returns the exit code; it does
// not return once the target runs.
func Main(args []string, stdout, stderr io.Writer) int {
	code, err := run(args, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "mage.go:", err)
		return 2
	}
	return code
}

func run(args []string, stdout, stderr io.Writer) (int, error) {
	root, err := tree.Root()
	if err != nil {
		return 0, err
	}
	dir, err := cache.Dir("mage")
	if err != nil {
		return 0, err
	}
	// Where HOME is not set, mage would keep its cache in the checkout.
	if os.Getenv("MAGEFILE_CACHE") == "" {
		os.Setenv("MAGEFILE_CACHE", dir)
	}
	unlock, err := lock(root)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if len(args) == 0 || args[0] != "-v" && args[0][0] == '-' {
		if args, err = Arrange(args, nil, nil); err != nil {
			return 0, err
		}
		return mage.ParseAndRun(stdout, stderr, os.Stdin, append([]string{"-d", root, "-w", "."}, args...)), nil
	}
	// Each checkout has a program of its own, so that go build finds it up to date the next time.
	sum := sha256.Sum256([]byte(root))
	program := filepath.Join(dir, hex.EncodeToString(sum[:8]), "mage")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return 0, err
	}
	if code := mage.ParseAndRun(stdout, stderr, os.Stdin, []string{"-d", root, "-compile", program}); code != 0 {
		return code, nil
	}
	// The program arranges its arguments itself, see MageArgs. The lock ends here:
	// its file is closed on exec.
	return 0, fmt.Errorf("run %s: %w", program, syscall.Exec(program, append([]string{"mage"}, args...), os.Environ()))
}

// lock waits until no other process compiles in the checkout. It holds the folder
// itself, so that no file is left behind.
func lock(root string) (unlock func(), err error) {
	f, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		switch err {
		case nil:
			return func() { f.Close() }, nil
		case syscall.EINTR:
		default:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", root, err)
		}
	}
}
