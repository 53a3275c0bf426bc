// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
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

// joins maps targets to the text that joins several arguments into the one that they require.
var joins = map[string]string{"experiments:run": " ", "experiments:repeat": " ", "experiments:merge": ",", "vm:run": " "}

// aliases are the magefile's: mage -h of an alias explains nothing, so the target's own name is asked for.
var aliases = map[string]string{"test": "test:all", "testvm": "test:guest"}

// MageArgs is for the program that mage makes of the magefile, which knows the targets that require an argument: it
// rearranges the args of the process as Arrange does, so that mage TARGET and go run mage.go TARGET accept the same. If
// Arrange returns an error, it prints the error and ends the process with code 2.
func MageArgs(args, required, flagless []string) []string {
	begin := 1
	for begin < len(args) && args[begin] == "-v" {
		begin++
	}
	rest := args[begin:]
	if help, _ := strconv.ParseBool(os.Getenv("MAGEFILE_HELP")); help { // mage -h TARGET
		rest = append([]string{"-h"}, rest...)
	}
	rest, err := Arrange(rest, required, flagless)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mage:", err)
		os.Exit(2)
	}
	return append(slices.Clone(args[:begin]), rest...)
}

// Arrange puts args into mage's order. It accepts a few things more than mage
// does, for the target named first:
//
//	kernel:build 6.1                  an optional argument without its name
//	experiments:run -engine=sim all   a required argument behind the flags
//	experiments:merge DIR DIR         several instead of a list with commas
//	vm:run -cpus=4 -- uname -a        a command in words of its own
//	kernel:soak -h                    what the target does, as -h kernel:soak
//
// required are the targets, in lower case, with an argument that must be given. mage would take what comes first for
// it, a flag too, so flags alone are an error. So are several arguments where the target takes one, and a word
// before -- that is no flag. flagless are the targets, in lower case, without flags: mage would do such a target and
// then take a flag for the name of another, so a flag is an error.
func Arrange(args, required, flagless []string) ([]string, error) {
	if len(args) == 2 && args[0] == "-h" {
		return []string{"-h", cmp.Or(aliases[strings.ToLower(args[1])], args[1])}, nil
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return args, nil
	}
	target, rest := args[0], args[1:]
	name := strings.ToLower(target)
	var command []string // behind --
	i := slices.Index(rest, "--")
	if i >= 0 {
		rest, command = rest[:i], rest[i+1:]
	}
	if slices.ContainsFunc(rest, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" }) {
		return []string{"-h", cmp.Or(aliases[name], target)}, nil
	}
	var flags, words []string
	for _, a := range rest {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a)
		} else {
			words = append(words, a)
		}
	}
	if i >= 0 && len(words) > 0 {
		return nil, fmt.Errorf("%s: %q before -- is no flag: a flag's value is written as in -id=%s", target, words[0], words[0])
	}
	words = append(words, command...)
	flag, optional := bare[name]
	join, several := joins[name]
	first := slices.Contains(required, name)
	switch {
	case len(flags) > 0 && slices.Contains(flagless, name):
		return nil, fmt.Errorf("%s: it has no flags, and %s is one", target, flags[0])
	case first && len(words) == 0 && len(flags) > 0:
		return nil, fmt.Errorf("%s: its argument is missing: -h %s explains it", target, target)
	case len(words) == 0:
		return args, nil
	case first && len(words) > 1 && !several:
		return nil, fmt.Errorf("%s: it takes one argument, not %q", target, words)
	case first:
		return append([]string{target, strings.Join(words, join)}, flags...), nil
	case optional && len(words) == 1:
		return append([]string{target, "-" + flag + "=" + words[0]}, flags...), nil
	}
	return args, nil // another target, or arguments that mage will refuse
}
