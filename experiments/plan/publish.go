// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/progress"
)

const (
	sumsName   = "SHA256SUMS" // as sha256sum writes and checks it
	archiveExt = ".tar.gz"
)

// Publish writes the measured results in the results directory root to dir, which is
// to be committed: every valid run that a plan names as ENGINE/KEY.tar.gz, the plans,
// and SHA256SUMS. A plan that names a run that was computed, as a simulation or a table
// of it, is left out, and removed from dir: anybody can compute it again.
// Runs that were published before stay for as long as a plan names them, so that a job
// of days can be published from several hosts. Publish returns how many of the runs
// that the plans name are published, and how many are missing.
func Publish(root, dir string) (runs, missing int, err error) {
	paths, err := results.Find(root)
	if err != nil {
		return 0, 0, err
	}
	for _, path := range paths.Plans {
		if err := publishPlan(root, dir, path); err != nil {
			return 0, 0, err
		}
	}
	published, err := published(dir)
	if err != nil {
		return 0, 0, err
	}
	named := map[string]bool{}
	for _, path := range published.Plans {
		of, err := results.Named(dir, path)
		if err != nil {
			return 0, 0, err
		}
		for _, run := range of {
			named[run] = true
		}
	}
	for _, run := range published.Runs {
		if !named[run] {
			if err := removeArchive(filepath.Join(dir, run+archiveExt), filepath.Base(run)); err != nil {
				return 0, 0, err
			}
		}
	}
	have := 0
	for run := range named {
		if _, err := os.Stat(filepath.Join(dir, run+archiveExt)); err == nil {
			have++
		}
	}
	return have, len(named) - have, writeSums(dir)
}

// removeArchive removes the file at path if it is the archive of the run called key;
// any other file is an error.
func removeArchive(path, key string) error {
	tmp, err := os.MkdirTemp("", "alps-archive-")
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := results.Unpack(path, filepath.Join(tmp, key)); err != nil {
		return fmt.Errorf("publish: %s is not removed, for it is no run's: move it away: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// isMeasured says whether a run was measured, in a guest or as times on a host. All
// others are computed, and come out the same everywhere. An oracle's run is computed
// from one that was measured in a guest, and goes with that.
func isMeasured(r results.Run) bool {
	switch r.Engine {
	case results.EngineVM:
		return true
	case results.EngineHost:
		// Table 3 of older revisions does not say what it measures.
		measure, said := r.Parameters["measure"]
		return !said || measure == config.MeasureCost || measure == config.MeasureHooks
	}
	return false
}

// publishPlan publishes a plan and the valid runs that it names; nothing if there are
// none. A plan that names a run that was not measured is removed from dir.
func publishPlan(root, dir, path string) error {
	named, err := results.Named(root, path)
	if err != nil {
		return err
	}
	archives := map[string][]byte{}
	for _, run := range named {
		from := filepath.Join(root, run)
		r, err := results.ReadRun(from)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !isMeasured(r):
			return unpublishPlan(filepath.Join(dir, path))
		case !r.Valid:
			continue
		}
		var b bytes.Buffer
		if err := results.Pack(from, &b); err != nil {
			return err
		}
		archives[run+archiveExt] = b.Bytes()
	}
	if len(archives) == 0 {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	archives[path] = data
	for name, data := range archives {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if err := atomicfile.Write(to, data, 0o644); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// unpublishPlan removes a plan that was published. Its runs go with those that no plan
// names.
func unpublishPlan(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("publish: %w", err)
	}
	_ = os.Remove(filepath.Dir(path)) // where another plan lies, it stays
	return nil
}

// published lists the runs, as ENGINE/KEY, and plans in dir.
func published(dir string) (results.Found, error) {
	f, err := results.Find(dir)
	if err != nil {
		return f, err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*", "*"+archiveExt))
	if err != nil {
		return f, fmt.Errorf("publish: %w", err)
	}
	f.Runs = nil
	for _, a := range archives {
		rel, err := filepath.Rel(dir, a)
		if err != nil {
			return f, fmt.Errorf("publish: %w", err)
		}
		f.Runs = append(f.Runs, strings.TrimSuffix(rel, archiveExt))
	}
	return f, nil
}

// writeSums writes SHA256SUMS over the files that Publish knows.
func writeSums(dir string) error {
	f, err := published(dir)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, name := range files(f) {
		sum, err := sumOf(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dir, sumsName), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// files are the names of what published found, sorted.
func files(f results.Found) []string {
	names := slices.Clone(f.Plans)
	for _, run := range f.Runs {
		names = append(names, run+archiveExt)
	}
	slices.Sort(names)
	return names
}

// Restore brings what Publish wrote to dir into the results directory root, from
// which a job then goes on. All is checked against SHA256SUMS first. Runs and
// plans that root has stay as they are.
func Restore(dir, root string, rep *progress.Reporter) error {
	found, err := published(dir)
	if err != nil {
		return err
	}
	if err := checkSums(dir, files(found)); err != nil {
		return err
	}
	unlock, err := results.Lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	restored := 0
	for _, run := range found.Runs {
		to := filepath.Join(root, run)
		if _, err := results.ReadRun(to); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := results.Unpack(filepath.Join(dir, run+archiveExt), to); err != nil {
			return err
		}
		restored++
	}
	for _, plan := range found.Plans {
		to := filepath.Join(root, plan)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, plan))
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if err := atomicfile.Write(to, data, 0o644); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	rep.Printf("restored %d runs of %s into %s, %d were there", restored, dir, root, len(found.Runs)-restored)
	return nil
}

// checkSums compares files in dir with SHA256SUMS, which must list these and no others.
func checkSums(dir string, files []string) error {
	path := filepath.Join(dir, sumsName)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("restore: nothing was published there: %w", err)
	}
	listed := map[string]string{}
	for i, line := range slices.Collect(strings.Lines(string(data))) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			return fmt.Errorf("restore: %s:%d: not a digest, two spaces and a name", path, i+1)
		}
		listed[name] = sum
	}
	var errs []error
	for _, name := range files {
		sum, err := sumOf(filepath.Join(dir, name))
		want, ok := listed[name]
		delete(listed, name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !ok:
			errs = append(errs, fmt.Errorf("restore: %s is not in %s", name, path))
		case sum != want:
			errs = append(errs, fmt.Errorf("restore: %s is not what was published: take it from git again", filepath.Join(dir, name)))
		}
	}
	for name := range listed {
		errs = append(errs, fmt.Errorf("restore: %s is in %s and not there: take it from git again", name, path))
	}
	return errors.Join(errs...)
}

func sumOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
