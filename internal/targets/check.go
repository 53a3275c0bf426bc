// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/tree"
)

// Tools that only Check uses, by version: as tools of go.mod they would add their
// dependencies to everybody's.
const (
	staticcheck = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
	govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
)

// CheckFlags are the flags of check.
type CheckFlags struct {
	Vulnerabilities bool // also govulncheck, which asks a database in the network
}

// Check looks at the code without running it: gofmt, vet and staticcheck under every build tag, go mod tidy.
func (h Host) Check(ctx context.Context, f CheckFlags) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	var errs []error
	check := func(name string, args ...string) []byte {
		if ctx.Err() != nil {
			return nil
		}
		step := h.Console.Step(name, 0, 0)
		out, err := command.Output(ctx, command.Cmd{Args: args, Dir: root, Stderr: os.Stderr})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", name, err, out))
			step.Done("failed")
			return nil
		}
		step.Done("")
		return out
	}
	if out := check("gofmt", "sh", "-c", "git ls-files -z '*.go' | xargs -0 gofmt -l"); len(out) > 0 {
		errs = append(errs, fmt.Errorf("these are not as gofmt -w writes them: %s", strings.Fields(string(out))))
	}
	check("go mod tidy", "go", "mod", "tidy", "-diff")
	for _, tags := range []string{"", "mage"} {
		check(strings.TrimSpace("go vet "+tags), "go", "vet", "-tags="+tags, "./...")
		check(strings.TrimSpace("staticcheck "+tags), "go", "run", staticcheck, "-tags="+tags, "./...")
	}
	check("go vet mage.go", "go", "vet", "mage.go")
	if f.Vulnerabilities {
		check("govulncheck", "go", "run", govulncheck, "./...")
	} else {
		h.Console.Printf("govulncheck does not run: it asks a database in the network (check -vulnerabilities)")
	}
	return errors.Join(errs...)
}
