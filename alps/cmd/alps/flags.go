package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// newFlags is a flag set whose -h prints the synopsis and what the command
// does, above the flags.
func newFlags(name string, stderr io.Writer, synopsis, what string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: %s %s\n\n%s\n\n", name, synopsis, what)
		fs.PrintDefaults()
	}
	return fs
}

// parse takes flags and no arguments. done says that the command ends, with
// the code.
func parse(fs *flag.FlagSet, args []string) (code int, done bool) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, true
	case err != nil:
		return 2, true // fs has said why
	case fs.NArg() > 0:
		return usage(fs, fmt.Errorf("unexpected argument %q", fs.Arg(0))), true
	}
	return 0, false
}

// usage reports what is wrong with the command line.
func usage(fs *flag.FlagSet, err error) int {
	fmt.Fprintf(fs.Output(), "%s: %v (-h lists the flags)\n", fs.Name(), err)
	return 2
}

func fail(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, err)
	return 1
}
