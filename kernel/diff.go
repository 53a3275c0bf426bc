// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ds2-lab/alps/internal/command"
)

// Diff prints to w what a kernel's series changes: for each patch the files and how
// many lines (git apply --stat), then, if whole, the patches themselves.
func Diff(ctx context.Context, dir, name string, whole bool, w io.Writer) error {
	kernels, err := List(dir)
	if err != nil {
		return err
	}
	k, err := Find(kernels, name)
	if err != nil {
		return err
	}
	if k.Patches.V == "" {
		fmt.Fprintf(w, "%s: no series\n", k.Name.V)
		return nil
	}
	series, err := filepath.Glob(filepath.Join(dir, k.Patches.V, "*.patch"))
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.Name.V, err)
	}
	for _, path := range series {
		fmt.Fprintln(w, filepath.Base(path))
		patch, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name.V, err)
		}
		// Outside of any repository: inside one, git apply leaves out the files of a patch that
		// are not below its directory.
		err = command.Run(ctx, command.Cmd{Args: []string{"git", "apply", "--stat", "--summary"}, Dir: os.TempDir(), Stdin: patch, Stdout: w})
		patch.Close()
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name.V, err)
		}
	}
	if !whole {
		return nil
	}
	for _, path := range series {
		patch, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name.V, err)
		}
		if _, err := fmt.Fprintf(w, "\n%s", patch); err != nil {
			return err
		}
	}
	return nil
}
