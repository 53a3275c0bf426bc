// Package figures turns results into tables, tables into plots, and both into
// one page that shows them beside the paper's numbers.
//
// Nothing is drawn that is not in a result. The table behind a picture is
// written beside it; what is missing or not valid is said on the page.
package figures

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/atomicfile"
)

// Options say where results are and where the report goes.
type Options struct {
	Results string
	Out     string
}

// Draw draws every figure there are results for and writes Out/index.html. It
// returns that page's path. The error names what is missing or not valid; the
// page is written all the same.
func Draw(o Options) (string, error) {
	plans, err := filepath.Glob(filepath.Join(o.Results, "*", "plan.json"))
	if err != nil {
		return "", err
	}
	if len(plans) == 0 {
		return "", fmt.Errorf("figures: no results in %s: run an experiment first (experiments:run fig06)", o.Results)
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return "", fmt.Errorf("figures: %w", err)
	}
	var errs []error
	var p page
	for _, plan := range plans {
		name := filepath.Base(filepath.Dir(plan))
		runs, missing, err := results.ReadPlan(o.Results, name)
		if err != nil {
			return "", err
		}
		for _, m := range missing {
			errs = append(errs, fmt.Errorf("%s: run %s is missing", name, m))
		}
		if err := sameConditions(runs); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		for _, r := range runs {
			if !r.Run.Valid {
				errs = append(errs, fmt.Errorf("%s: run %s is not valid and not drawn: %s", name, r.Run.Key, strings.Join(r.Run.Invalid, "; ")))
			}
		}
		s, err := drawFig06(o.Out, name, runs, missing)
		if err != nil {
			return "", err
		}
		p.Sections = append(p.Sections, s)
	}
	html, err := p.render()
	if err != nil {
		return "", err
	}
	index := filepath.Join(o.Out, "index.html")
	if err := atomicfile.Write(index, html, 0o644); err != nil {
		return "", fmt.Errorf("figures: %w", err)
	}
	return index, errors.Join(errs...)
}

// sameConditions refuses to pool runs that differ in anything but scheduler,
// round and what was measured.
func sameConditions(runs []results.Result) error {
	seen := map[string]string{}
	for _, r := range runs {
		for name, v := range map[string]string{
			"kernel": r.Run.Kernel, "config": r.Run.ConfigDigest, "accelerator": r.Run.Accelerator, "engine": r.Run.Engine,
			"CPUs": fmt.Sprint(r.Run.CPUs), "image": r.Run.ImageDigest, "workload": r.Run.Workload,
			"time factor": fmt.Sprint(r.Run.TimeFactor), "load": fmt.Sprint(r.Run.LoadAsked),
		} {
			if old, ok := seen[name]; ok && old != v {
				return fmt.Errorf("runs differ in %s: %q and %q; they are not pooled", name, old, v)
			}
			seen[name] = v
		}
	}
	return nil
}

func drawFig06(out, name string, runs []results.Result, missing []string) (section, error) {
	s := section{Name: name, Missing: missing}
	for _, r := range runs {
		s.Runs = append(s.Runs, r.Run)
	}
	slices.SortFunc(s.Runs, func(a, b results.Run) int {
		if a.Round != b.Round {
			return a.Round - b.Round
		}
		return strings.Compare(a.Scheduler, b.Scheduler)
	})
	f, err := newFig06(runs, results.EngineVM)
	if err != nil {
		return s, err
	}
	if len(f.Schedulers) == 0 {
		return s, nil // no valid run: the section says so
	}
	svg, err := f.svg()
	if err != nil {
		return s, fmt.Errorf("figures: %s: %w", name, err)
	}
	png, err := f.png()
	if err != nil {
		return s, fmt.Errorf("figures: %s: %w", name, err)
	}
	for ext, data := range map[string][]byte{"svg": svg, "png": png, "tsv": []byte(f.tsv())} {
		if err := atomicfile.Write(filepath.Join(out, name+"."+ext), data, 0o644); err != nil {
			return s, fmt.Errorf("figures: %w", err)
		}
	}
	s.fill(f, svg)
	return s, nil
}
