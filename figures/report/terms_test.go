// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/figures/plot"
)

// Every column that is written is explained, in its order.
func TestEveryColumnIsExplained(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	figuretest.BeyondTables(t, root)
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.Sim("cfs", 1, 2))
	_, err := Draw(t.Context(), Options{Results: root, Out: out, Light: true})
	require.NoError(t, err)
	first := func(text string) string { line, _, _ := strings.Cut(text, "\n"); return line }
	file := func(path string) string {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return first(string(data))
	}
	slices, err := filepath.Glob(filepath.Join(root, results.EngineSim, "*", "slices.csv"))
	require.NoError(t, err)
	require.NotEmpty(t, slices)
	headers := map[string]string{
		"invocations.csv": results.Header,
		"slices.csv":      file(slices[0]),
		"fig*.tsv":        first(plot.TSV(nil)),
		"peers-*.tsv":     first(plot.RatioTSV("", nil)),
		"claims.tsv":      first(claims.TSV(nil)),
		"means.tsv":       first(page{}.meansTSV()),
		"never-sim.tsv":   file(filepath.Join(out, "never-sim.tsv")),
	}
	require.Len(t, dataFiles, len(headers))
	for _, f := range dataFiles {
		var names []string
		for _, c := range f.Columns {
			names = append(names, c.Name)
			require.NotEmpty(t, c.Meaning)
		}
		require.Equal(t, strings.FieldsFunc(headers[f.Name], func(r rune) bool { return r == ',' || r == '\t' }), names, f.Name)
	}
	page, err := os.ReadFile(filepath.Join(out, "data.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "| `arrive_ns` | the process was forked: turnaround is end_ns − arrive_ns |")
	require.Contains(t, string(page), "**percentile**: p90 is the smallest value")
}

// Every picture has a title and a description for readers who cannot see it, and values for those who point at it.
func TestPicturesHaveTitles(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	figuretest.Complete(t, root)
	figuretest.BeyondTables(t, root)
	figuretest.Shows(t, root, "peers", 0.9, figuretest.Sim("cfs", 1, 2), figuretest.Sim("alps", 1, 1))
	_, err := Draw(t.Context(), Options{Results: root, Out: out, Light: true})
	require.NoError(t, err)
	pictures, err := filepath.Glob(filepath.Join(out, "*.svg"))
	require.NoError(t, err)
	require.Greater(t, len(pictures), 15)
	for _, path := range pictures {
		svg, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Regexp(t, regexp.MustCompile(`(?s)<svg role="img" [^>]*>\n<title>[^<]+</title>\n<desc>[^<]+</desc>`), string(svg[:min(len(svg), 4000)]), path)
		require.Regexp(t, regexp.MustCompile(`<rect x="[\d.]+" y="[\d.]+" width="[\d.]+" height="[\d.]+"><title>[^<]+</title></rect>`), string(svg), path)
	}
	svg, err := os.ReadFile(filepath.Join(out, "fig06-sim.svg"))
	require.NoError(t, err)
	require.Regexp(t, `<title>alps, G1: p50 \d+ ms \(paper 100 ms\)</title>`, string(svg))
}

func TestPeers(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	figuretest.Shows(t, root, "peers", 0.9, figuretest.Sim("eevdf", 1, 2), figuretest.Sim("cfs", 1, 2), figuretest.Sim("scx_flatcg", 1, 1), figuretest.Sim("alps", 1, 1))
	page, err := Draw(t.Context(), Options{Results: root, Out: out, Light: true})
	require.NoError(t, err)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	table, err := os.ReadFile(filepath.Join(out, "peers-sim.tsv"))
	require.NoError(t, err)
	require.Contains(t, string(table), "sim\thuawei\t90\teevdf\teevdf\tturnaround\t")
	require.Regexp(t, `sim\thuawei\t90\tscx_flatcg\teevdf\trequest\t[\d.]+\t0\.\d+\t0\.\d+\t`, string(table))
	require.Contains(t, string(html), "huawei, 90 %: mean from the request / eevdf&#39;s")
	require.Contains(t, string(html), ">scx_flatcg</td>")
	require.FileExists(t, filepath.Join(out, "peers-sim.svg"))

	figuretest.Shows(t, root, "peers", 0.9, figuretest.Sim("alps", 1, 1))
	page, err = Draw(t.Context(), Options{Results: root, Out: out, Light: true})
	require.NoError(t, err)
	html, err = os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "Neither EEVDF nor CFS ran")
	require.NoFileExists(t, filepath.Join(out, "peers-sim.svg"), "nor is an old picture left")
}
