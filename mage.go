//go:build ignore

// This is mage without installing it:
//
//	go run mage.go -l                 list the targets
//	go run mage.go reproduce          the main job
//
// It accepts one thing more than mage does: a value where a target has an
// optional first argument may stand bare (kernel:build 6.1).
package main

import (
	"os"
	"strings"

	"github.com/magefile/mage/mage"
)

// bare maps targets to the flag that a bare value after them means.
var bare = map[string]string{
	"kernel:build": "name",
	"vm:plan":      "kernel",
}

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
	os.Exit(mage.ParseAndRun(os.Stdout, os.Stderr, os.Stdin, args))
}
