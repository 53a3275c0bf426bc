// SPDX-License-Identifier: Apache-2.0

package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/ds2-lab/alps/experiments/plan"
	"github.com/ds2-lab/alps/figures/architecture"
	"github.com/ds2-lab/alps/figures/fidelity"
	"github.com/ds2-lab/alps/figures/findings"
	"github.com/ds2-lab/alps/figures/report"
	"github.com/ds2-lab/alps/internal/tree"
)

// FiguresDrawFlags are the flags of figures:draw.
type FiguresDrawFlags struct {
	Results string // directory; results/ without it
}

// Draw draws the figures and the report from results/ or another directory.
func (h Figures) Draw(ctx context.Context, f FiguresDrawFlags) error {
	o, err := h.reportOptions(f.Results, "report")
	if err != nil {
		return err
	}
	return h.shown(report.Draw(ctx, o))
}

// FiguresPublishFlags are the flags of figures:publish.
type FiguresPublishFlags struct {
	Results string // directory; results/ without it
}

// Publish draws the report as it is committed, into docs/report, from results/ or another directory, and puts the measured runs into docs/runs, from which experiments:restore takes them.
func (h Figures) Publish(ctx context.Context, f FiguresPublishFlags) error {
	o, err := h.reportOptions(f.Results, filepath.Join("docs", "report"))
	if err != nil {
		return err
	}
	to := filepath.Join(o.Code, publishedRuns)
	runs, missing, err := plan.Publish(o.Results, to)
	if err != nil {
		return err
	}
	fmt.Fprintf(h.Out, "%s: %d measured runs, %d missing\n", to, runs, missing)
	if missing > 0 {
		h.Console.Printf("to make those that are missing: go run mage.go experiments:run EXPERIMENT -profile=PROFILE, with the profile that made the others (docs/report names it), on this host, or after experiments:restore on another")
	}
	return errors.Join(h.shown(report.Publish(ctx, o)), h.Findings(ctx))
}

// publishedRuns is where measured runs are committed, below the root.
var publishedRuns = filepath.Join("docs", "runs")

// reportOptions are the options of a report into out, below the root; results is results/ if it is empty.
func (h Host) reportOptions(results, out string) (report.Options, error) {
	root, err := tree.Root()
	return report.Options{Results: cmp.Or(results, filepath.Join(root, "results")), Experiments: filepath.Join(root, "experiments"),
		Code: root, Out: filepath.Join(root, out), Progress: h.Console}, err
}

// shown prints the path of a page, also of one from which something is missing, and passes the error on.
func (h Host) shown(page string, err error) error {
	if page != "" {
		fmt.Fprintln(h.Out, page)
	}
	return err
}

// Fidelity compares what was simulated with what the paper plots, and writes docs/: fidelity, never and attack; then it does what figures:findings and figures:architecture do.
func (h Figures) Fidelity(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	if err := fidelity.Write(filepath.Join(root, "results"), filepath.Join(root, "docs")); err != nil {
		return err
	}
	return errors.Join(h.Findings(ctx), h.Architecture(ctx))
}

// Architecture draws docs/architecture.svg, ARCHITECTURE.md's picture, from the code: packages, BPF programs, hooks.
func (h Figures) Architecture(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	a, err := architecture.Read(root)
	if err != nil {
		return err
	}
	svg, err := a.SVG(ctx)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(root, "docs", "architecture.svg"), svg, 0o644)
}

// Findings writes docs/findings.md and README.md's summary of it, from the tables in docs/.
func (h Figures) Findings(ctx context.Context) error {
	root, err := tree.Root()
	if err != nil {
		return err
	}
	return findings.Write(root)
}
