//go:build ignore

// This is mage without installing it:
//
//	go run mage.go -l                 list the targets
//	go run mage.go reproduce          the main job
//
// It accepts two things more than mage does: a value where a target has an
// optional first argument may stand bare (kernel:build 6.1), and a required
// first argument may stand behind the flags (experiments:run -engine=sim all).
package main

import (
	"os"
	"slices"
	"strings"

	"github.com/magefile/mage/mage"
)

// bare maps targets to the flag that a bare value after them means.
var bare = map[string]string{
	"kernel:build": "name",
	"vm:plan":      "kernel",
}

// required are the targets whose first argument is.
var required = []string{"experiments:run", "vm:run"}

func main() {
	var args []string
	for i, arg := range os.Args[1:] {
		if i > 0 && !strings.HasPrefix(arg, "-") {
			if flag, ok := bare[strings.ToLower(os.Args[i])]; ok {
				arg = "-" + flag + "=" + arg
			}
		}
		args = append(args, arg)
	}
	for i, arg := range args {
		if !slices.Contains(required, strings.ToLower(arg)) {
			continue
		}
		rest := args[i+1:]
		if n := slices.IndexFunc(rest, func(a string) bool { return !strings.HasPrefix(a, "-") }); n > 0 {
			first := rest[n]
			copy(rest[1:], rest[:n])
			rest[0] = first
		}
	}
	os.Exit(mage.ParseAndRun(os.Stdout, os.Stderr, os.Stdin, args))
}
