//go:build ignore

// This is mage without installing it:
//
//	go run mage.go -l                 list the targets
//	go run mage.go reproduce          the main job
//
// It accepts a few things more than mage does, for the target named first:
//
//	kernel:build 6.1                  an optional argument without its name
//	experiments:run -engine=sim all   a required argument behind the flags
//	experiments:merge DIR DIR         several instead of a list with commas
//	vm:run -cpus=4 -- uname -a        a command in words of its own
//	kernel:soak -h                    what the target does, as -h kernel:soak
package main

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/magefile/mage/mage"
)

// bare maps targets to the flag that a bare value means.
var bare = map[string]string{
	"kernel:build":     "name",
	"kernel:diff":      "name",
	"experiments:plan": "name",
	"vm:shell":         "id",
	"vm:down":          "id",
	"vm:log":           "id",
	"vm:dump":          "id",
}

// required are the targets whose first argument is, and what joins several.
var required = map[string]string{"experiments:run": " ", "experiments:repeat": " ", "experiments:merge": ",", "vm:run": " "}

// aliases are the magefile's, which mage does not explain.
var aliases = map[string]string{"test": "test:all", "testvm": "test:guest"}

// arrange puts args into mage's order.
func arrange(args []string) []string {
	if len(args) == 0 {
		return args
	}
	target, rest := args[0], args[1:]
	name := strings.ToLower(target)
	var words []string
	if i := slices.Index(rest, "--"); i >= 0 {
		rest, words = rest[:i], rest[i+1:]
	}
	if !strings.HasPrefix(target, "-") && slices.ContainsFunc(rest, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" }) {
		args, rest = []string{"-h", target}, nil
	}
	if len(args) == 2 && args[0] == "-h" {
		return []string{"-h", cmp.Or(aliases[strings.ToLower(args[1])], args[1])}
	}
	flags := []string{}
	for _, a := range rest {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a)
		} else {
			words = append(words, a)
		}
	}
	flag, optional := bare[name]
	join, first := required[name]
	switch {
	case len(words) == 0:
		return args
	case first:
		return append([]string{target, strings.Join(words, join)}, flags...)
	case optional && len(words) == 1:
		return append([]string{target, "-" + flag + "=" + words[0]}, flags...)
	}
	return args // other targets, or what mage will complain about
}

func main() {
	os.Exit(mage.ParseAndRun(os.Stdout, os.Stderr, os.Stdin, arrange(os.Args[1:])))
}
