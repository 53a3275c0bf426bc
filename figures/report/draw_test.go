// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/paper"
	"github.com/ds2-lab/alps/figures/plot"
)

// golden compares got with testdata/name byte for byte. A mismatch leaves NAME.got.EXT beside it;
// GOLDEN_UPDATE=1 writes the file anew.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("GOLDEN_UPDATE") == "1" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "GOLDEN_UPDATE=1 writes it")
	if string(want) != string(got) {
		ext := filepath.Ext(name)
		left := strings.TrimSuffix(path, ext) + ".got" + ext
		require.NoError(t, os.WriteFile(left, got, 0o644))
		t.Errorf("%s differs: see %s", path, left)
	}
}

func TestGoldenPictures(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	two := []results.Result{figuretest.Sim("cfs", 1, 4), figuretest.Sim("alps", 1, 1), figuretest.Sim(paper.Artifact, 1, 2), figuretest.Sim("cfs", 2, 4), figuretest.Sim("alps", 2, 1), figuretest.Sim(paper.Artifact, 2, 2)}
	for figure, load := range map[string]float64{"fig01": 0.9, "fig05": 0.8, "fig06": 0.9, "fig07": 0.9, "fig08": 0.9} {
		figuretest.Shows(t, root, figure, load, two...)
	}
	figuretest.Shows(t, root, "fig03", 0.9, figuretest.Sim("srpt", 1, 1))
	figuretest.Shows(t, root, "fig09", 0.8, figuretest.Sim("both", 1, 1), figuretest.Sim("none", 1, 2))
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 4), figuretest.VM("alps", 1, 1))
	_, err := Draw(t.Context(), Options{Results: root, Out: out})
	require.NoError(t, err)
	for _, name := range []string{"fig01-sim", "fig03-sim", "fig05-sim", "fig06-sim", "fig06-vm", "fig07-sim", "fig08-sim", "fig09-sim"} {
		for _, ext := range []string{".tsv", ".svg"} {
			data, err := os.ReadFile(filepath.Join(out, name+ext))
			require.NoError(t, err)
			golden(t, name+ext, data)
		}
		for ext, magic := range map[string]string{".png": "\x89PNG", ".pdf": "%PDF"} {
			data, err := os.ReadFile(filepath.Join(out, name+ext))
			require.NoError(t, err)
			require.Equal(t, magic, string(data[:4]))
		}
	}
}

func TestGoldenTables(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	figuretest.Tables(t, root)
	_, err := Draw(t.Context(), Options{Results: root, Out: out})
	require.NoError(t, err)
	for _, name := range []string{"table1.md", "table1.tsv", "table2.md", "table2.tsv", "table3.md", "table3.tsv"} {
		data, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		golden(t, name, data)
	}
}

func TestDrawSaysWhatIsMissingAndWhatIsNotValid(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	_, err := Draw(t.Context(), Options{Results: root, Out: out})
	require.ErrorContains(t, err, "run an experiment first")

	bad := figuretest.VM("alps", 2, 1)
	bad.Run.Valid, bad.Run.Invalid = false, []string{"3 events were lost"}
	lost := []results.Result{figuretest.VM("cfs", 2, 2), figuretest.VM("cfs", 3, 2)}
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 2), figuretest.VM("alps", 1, 1), bad, lost[0], lost[1])
	for _, l := range lost {
		require.NoError(t, os.RemoveAll(results.Dir(root, results.EngineVM, l.Run.Key)))
	}
	gone := figuretest.Sim("sfs", 1, 2)
	figuretest.Shows(t, root, "fig02", 0.9, figuretest.Sim("cfs", 1, 2), gone)
	require.NoError(t, os.RemoveAll(results.Dir(root, results.EngineSim, gone.Run.Key)))
	page, err := Draw(t.Context(), Options{Results: root, Out: out})
	require.ErrorContains(t, err, "fig06, vm: 2 of 5 runs are missing: cfs on huawei at 90 %, rounds 2, 3")
	require.ErrorContains(t, err, "alps on huawei at 90 %, round 2 ("+bad.Run.Key+"): 3 events were lost")
	require.ErrorContains(t, err, "fig02, sim: 1 of 2 runs are missing: sfs on huawei at 90 %, round 1")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, want := range []string{"2 of 5 runs are missing: cfs on huawei at 90 %, rounds 2, 3", "3 events were lost", "not the paper&#39;s 5.18-rc5", "Not measured. To measure it: <code>go run mage.go experiments:run -profile=quick fig05</code>", "To simulate it: <code>go run mage.go experiments:run -engine=sim fig05</code>"} {
		require.Contains(t, string(html), want)
	}
	for _, remote := range []string{`src="http`, `href="http`, "url(http", "@import", "<script src"} {
		require.NotContains(t, string(html), remote, "the page needs no network")
	}
	picture, err := os.ReadFile(filepath.Join(out, "fig06-vm.svg"))
	require.NoError(t, err)
	require.Contains(t, string(picture), "2 of 5 runs are missing: cfs on huawei at 90 %, rounds 2, 3")
	table, err := os.ReadFile(filepath.Join(out, "fig06-vm.tsv"))
	require.NoError(t, err)
	require.Contains(t, string(table), "\t150\n", "only the valid run counts")
	require.NotContains(t, string(table), "\t300\n")
}

func TestRunsUnderOtherConditionsAreNotPooled(t *testing.T) {
	for want, change := range map[string]func(*results.Run){
		"differ in accelerator":                                func(r *results.Run) { r.Accelerator = "kvm" },
		"differ in kernel":                                     func(r *results.Run) { r.Kernel = "5.18" },
		"of alps on huawei at 90 % differ in parameters":       func(r *results.Run) { r.Parameters = map[string]any{"order": "off"} },
		"on huawei at 90 % differ in invocations: 260 and 100": func(r *results.Run) { r.Invocations = 100 },
	} {
		root, out := t.TempDir(), t.TempDir()
		figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 2))
		_, err := Draw(t.Context(), Options{Results: root, Out: out})
		require.NoError(t, err)
		other := figuretest.VM("alps", 2, 1)
		change(&other.Run)
		figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 2), figuretest.VM("alps", 1, 1), other)
		page, err := Draw(t.Context(), Options{Results: root, Out: out})
		require.ErrorContains(t, err, want)
		html, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Contains(t, string(html), "they are not pooled")
		_, err = os.Stat(filepath.Join(out, "fig06-vm.svg"))
		require.ErrorIs(t, err, os.ErrNotExist, "nor is an old picture left")
	}
	root, out := t.TempDir(), t.TempDir()
	first, second := figuretest.VM("alps", 1, 1), figuretest.VM("alps", 2, 1)
	first.Run.Parameters, second.Run.Parameters = map[string]any{"costs": 1}, map[string]any{"costs": 2}
	figuretest.Shows(t, root, "fig06", 0.9, first, second)
	_, err := Draw(t.Context(), Options{Results: root, Out: out})
	require.NoError(t, err, "what functions cost is measured at every boot")

	root = t.TempDir()
	other := figuretest.Sim("alps", 1, 1)
	other.Run.Sim = &results.Sim{Model: "another"}
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.Sim("cfs", 1, 2), other)
	_, err = Draw(t.Context(), Options{Results: root, Out: out})
	require.ErrorContains(t, err, "fig06, sim: runs differ in model")
}

// Every experiment is a figure or a table of the report, but for never, which is in it too, and those that only
// pages in docs/ show: choices, load, attack and index. profiles.yaml is no experiment.
func TestEveryExperimentIsShown(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "experiments", "*.yaml"))
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	shown := []string{"profiles", "choices", "load", never.Experiment, never.Attack, never.Server, plot.IndexFigure}
	for _, f := range plot.Catalog {
		shown = append(shown, f.Name)
	}
	for _, g := range dataset.Grids {
		shown = append(shown, g.Name)
	}
	for _, f := range files {
		require.Contains(t, shown, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
}

// What ran on the paper's 24 CPUs has a line beside the usual runs' on the first screen,
// and a second verdict beside their first; without it there is neither.
func TestThePapersCPUsStandBesideTheUsualOnes(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	draw := func() string {
		_, err := Draw(t.Context(), Options{Results: root, Out: out, Light: true})
		require.NoError(t, err)
		html, err := os.ReadFile(filepath.Join(out, "index.html"))
		require.NoError(t, err)
		return strings.ReplaceAll(string(html), "\u00a0", " ")
	}
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 4), figuretest.VM("alps", 1, 1))
	require.NotContains(t, draw(), "24 CPUs, 1 round")

	var large []results.Result
	for _, r := range []results.Result{figuretest.VM("cfs", 2, 4), figuretest.VM("alps", 2, 1)} {
		r.Run.CPUs, r.Run.FunctionCPUs, r.Run.Deployment = 25, 24, "paper"
		large = append(large, r)
	}
	figuretest.Shows(t, root, paper.Headline, 0.9, large...)
	html := draw()
	require.Regexp(t, `mean turnaround, ALPS against CFS, Huawei, on 24 CPUs, 1 round</td><td data-of="measured">−\d`, html)
	require.Regexp(t, `<tr id="claim-mean-huawei-cfs"(?s).*?not measured</span>.*?<div class="second">On 24 CPUs, 1 round: <span class="verdict vm holds">holds \(one round\)</span>`, html)
	require.Contains(t, html, "<th>on 24 CPUs, 1 round</th>")
	require.NotRegexp(t, `alps, Azure, on 24`, html)
}

// A series on another kernel is drawn if the plan names that kernel, and computed series are labelled as computed.
func TestOtherKernelsAndComputedRuns(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	newer := figuretest.VM("eevdf", 1, 2)
	newer.Run.Kernel, newer.Run.KernelName, newer.Run.KernelFallback, newer.Run.Scheduler, newer.Run.ConfigDigest = "6.12.1", "6.12", false, "cfs", "other"
	base, oracle := figuretest.VM("cfs", 1, 2), figuretest.VM("srpt", 1, 1)
	oracle.Run.Parameters = map[string]any{"on": base.Run.Key}
	// What the figure shows of the four, with the kernel that the plan says eevdf has.
	draw := func(kernel string) (string, error) {
		var series []results.Series
		for _, x := range []struct {
			results.Result
			name, kernel string
		}{{base, "cfs", ""}, {newer, "eevdf", kernel}, {figuretest.VM("alps", 1, 1), "alps", ""}, {oracle, "srpt", ""}} {
			require.NoError(t, results.Write(results.Dir(root, results.EngineVM, x.Run.Key), x.Result))
			series = append(series, results.Series{Name: x.name, Workload: "huawei", Load: 0.9, Round: 1, Kernel: x.kernel, Key: x.Run.Key})
		}
		require.NoError(t, results.WritePlan(root, results.EngineVM, "fig06", series))
		_, err := Draw(t.Context(), Options{Results: root, Out: out})
		svg, _ := os.ReadFile(filepath.Join(out, "fig06-vm.svg"))
		return string(svg), err
	}
	_, err := draw("")
	require.ErrorContains(t, err, "differ in kernel")
	_, err = draw("6.6")
	require.ErrorContains(t, err, "of eevdf on huawei at 90 % are planned for kernel 6.6 and ran on 6.12")
	svg, err := draw("6.12")
	require.NoError(t, err)
	for _, want := range []string{"eevdf (kernel 6.12)", "srpt (computed on cfs)", "eevdf: kernel 6.12.1", "measured under cfs: srpt", "kernel 6.1.0-alps (not"} {
		require.Contains(t, svg, want)
	}
}
