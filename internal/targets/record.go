// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/vm"
)

// record has run, with the Host that it is given, run tests in guests of p, and puts what
// they measured into the record of the tree at root. If the tests fail or measure nothing,
// or the guests are not in virtual time, there is an error and the record stays as it is.
func (h Host) record(ctx context.Context, p guest.Artifacts, root string, run func(Host) error) error {
	v, err := p.InVirtualTime(ctx)
	if err != nil {
		return err
	}
	if v.Accel != vm.VTime {
		return fmt.Errorf("-record: guests have the accelerator %s here, and numbers of pages are measured in virtual time", v.Accel)
	}
	if _, err := readRecord(root); err != nil { // before minutes of tests
		return err
	}
	var output bytes.Buffer
	begun := time.Now()
	tests := h
	tests.Out = io.MultiWriter(h.Out, &output)
	if err := run(tests); err != nil {
		return fmt.Errorf("-record: %s stays as it is: %w", measured.Path, err)
	}
	return h.merge(root, output.Bytes(), measured.Row{Kernel: p.Kernel.Name, Revision: p.Revision, Date: begun.UTC().Format(time.DateOnly)})
}

// merge puts what the output of tests has into the record of the tree at root, with
// kernel, revision and date of from, and says what it wrote.
func (h Host) merge(root string, output []byte, from measured.Row) error {
	rows, err := measured.Find(output)
	if err != nil {
		return fmt.Errorf("-record: %w", err)
	}
	if len(rows) == 0 {
		return errors.New("-record: none of the tests that ran measures a number of " + measured.Path)
	}
	for i := range rows {
		rows[i].Kernel, rows[i].Revision, rows[i].Date = from.Kernel, from.Revision, from.Date
	}
	old, err := readRecord(root)
	if err != nil {
		return err
	}
	merged, said := old.Merge(rows)
	if err := merged.Write(filepath.Join(root, measured.Path)); err != nil {
		return err
	}
	for _, line := range said {
		h.Console.Printf("%s: %s", measured.Path, line)
	}
	h.Console.Printf("%s: %d rows of code %s written, %d kept; go test ./internal/measured says which pages to change", measured.Path, len(rows), from.Revision, len(merged)-len(rows))
	return nil
}

// readRecord reads the record of the tree at root; where there is none, it is empty.
func readRecord(root string) (measured.Record, error) {
	r, err := measured.Read(filepath.Join(root, measured.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}
