// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
)

// Merge joins results directories of shards into dst: every run by its key, and
// the plans. Nothing is written if two directories have different results under
// one key or planned different runs. Runs that the plans name and no directory has are
// an error, after everything else has been merged.
func Merge(dst string, from []string, rep *progress.Reporter) error {
	if len(from) == 0 {
		return errors.New("merge: no directory given")
	}
	unlock, err := results.Lock(dst)
	if err != nil {
		return err
	}
	defer unlock()
	m := merger{dst: dst, runs: map[string]found{}, plans: map[string]found{}}
	// The runs in dst count, too; its plans may be old and do not.
	var errs []error
	for i, dir := range append([]string{dst}, from...) {
		if _, err := os.Stat(dir); err != nil {
			errs = append(errs, fmt.Errorf("merge: %w", err))
			continue
		}
		errs = append(errs, m.read(dir, i > 0))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	added, err := m.write()
	if err != nil {
		return err
	}
	rep.Printf("merged %d runs into %s, %d were there", added, dst, len(m.runs)-added)
	return m.missing()
}

// found is a run or a plan, and the directory where it was found.
type found struct {
	dir  string // results directory
	sum  string // of a run's files
	data []byte // of a plan
}

type merger struct {
	dst         string
	runs, plans map[string]found // by path below a results directory
}

// read adds the runs in dir, and with plans its plans, and complains about those that
// contradict runs and plans of the directories that were read before.
func (m *merger) read(dir string, plans bool) error {
	paths, err := results.Find(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths.Runs {
		run, err := results.ReadRun(filepath.Join(dir, path))
		if err == nil && run.Key != filepath.Base(path) {
			err = fmt.Errorf("%s: is the run %s under another name", filepath.Join(dir, path), run.Key)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sum, err := digest.New("result").Dir("files", filepath.Join(dir, path)).Sum()
		if err != nil {
			return err
		}
		old, twice := m.runs[path]
		switch {
		case !twice:
			m.runs[path] = found{dir: dir, sum: sum}
		case old.sum != sum:
			errs = append(errs, fmt.Errorf("merge: %s differs between %s and %s: remove one of them", path, old.dir, dir))
		}
	}
	if !plans {
		return errors.Join(errs...)
	}
	for _, path := range paths.Plans {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		old, twice := m.plans[path]
		switch {
		case !twice:
			m.plans[path] = found{dir: dir, data: data}
		case !bytes.Equal(old.data, data):
			errs = append(errs, fmt.Errorf("merge: %s differs between %s and %s: their shards are of different plans (another kernel, compiler, accelerator, number of CPUs, profile or revision)", path, old.dir, dir))
		}
	}
	return errors.Join(errs...)
}

// write copies the runs and plans that dst does not have.
func (m *merger) write() (added int, err error) {
	for path, f := range m.runs {
		if f.dir == m.dst {
			continue
		}
		if err := results.Copy(filepath.Join(f.dir, path), filepath.Join(m.dst, path)); err != nil {
			return added, err
		}
		added++
	}
	for path, f := range m.plans {
		to := filepath.Join(m.dst, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return added, fmt.Errorf("merge: %w", err)
		}
		if err := atomicfile.Write(to, f.data, 0o644); err != nil {
			return added, fmt.Errorf("merge: %w", err)
		}
	}
	return added, nil
}

// missing names the runs that the plans have and dst has not.
func (m *merger) missing() error {
	var lines []string
	seen := map[string]bool{}
	for path := range m.plans {
		missing, err := results.Missing(m.dst, path)
		if err != nil {
			return err
		}
		for _, run := range missing {
			if !seen[run] {
				seen[run] = true
				lines = append(lines, run)
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	return fmt.Errorf("merge: %d runs are missing:\n  %s\n(run their shards again, or all of it here: what is there is kept)", len(lines), strings.Join(lines, "\n  "))
}
