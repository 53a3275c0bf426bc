// SPDX-License-Identifier: Apache-2.0

// Package cli is what the commands share: flags that explain themselves, and
// the exit codes 0 (done), 1 (failed) and 2 (wrong usage).
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// NewFlags returns a flag set whose -h prints the synopsis and the explanation,
// then the flags. name is the command's, as "alps run".
func NewFlags(name string, stderr io.Writer, synopsis, explanation string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: %s %s\n\n%s\n\n", name, synopsis, explanation)
		fs.PrintDefaults()
	}
	return fs
}

// Parse takes flags and no arguments. done says that the command ends, with the
// code; the reason is printed.
func Parse(fs *flag.FlagSet, args []string) (code int, done bool) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, true
	case err != nil:
		return 2, true // fs has said why
	case fs.NArg() > 0:
		return Usage(fs, fmt.Errorf("unexpected argument %q", fs.Arg(0))), true
	}
	return 0, false
}

// Usage reports an error of the command line; it returns the exit code 2.
func Usage(fs *flag.FlagSet, err error) int {
	fmt.Fprintf(fs.Output(), "%s: %v (-h lists the flags)\n", fs.Name(), err)
	return 2
}

// Fail reports an error; it returns the exit code 1.
func Fail(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, err)
	return 1
}

// maxCores bounds the simulated cores.
const maxCores = 4096

// CheckCores refuses a number of simulated cores outside [1, 4096].
func CheckCores(n int) error {
	if n < 1 || n > maxCores {
		return fmt.Errorf("cores: %d is outside [1, %d]", n, maxCores)
	}
	return nil
}
