// SPDX-License-Identifier: Apache-2.0

package findings

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/tree"
)

// docs/findings.md and README.md say what the tables say.
func TestFindingsAreThoseOfTheTables(t *testing.T) {
	root, err := tree.Root()
	require.NoError(t, err)
	for name, make := range map[string]func(string) ([]byte, error){"docs/findings.md": Page, "README.md": Readme} {
		want, err := make(root)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s: run go run mage.go figures:findings", name)
	}
}

func TestTables(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("a.tsv", "workload\tload_pct\tgroup\tseries\tstat\tours\tpaper\tn\n"+
		"huawei\t90\tG1\tcfs\tmean\t100\t200\t3\nhuawei\t90\tG2\tcfs\tmean\t300\t\t1\nhuawei\t80\tG1\tcfs\tmean\t1\t1\t9\n")
	write("a.md", "| x | ms | against | ms | against, of 3 |\n|---|---|---|---|---|\n| huawei | 1 | -2 % | 3 | **4** |\n\n| x | ms |\n|---|---|\n| azure | 7 |\n")
	tab := &tables{docs: dir}
	mean, err := tab.mean("a.tsv", "ours", "huawei", "cfs")
	require.NoError(t, err)
	require.Equal(t, 150.0, mean, "weighted by invocations, of 90 % load only")
	_, err = tab.mean("a.tsv", "paper", "huawei", "cfs")
	require.Error(t, err, "the paper has no mean of G2")
	_, err = tab.mean("a.tsv", "ours", "azure", "cfs")
	require.ErrorContains(t, err, "no means of azure")
	_, err = tab.value("a.tsv", "ours", "huawei", "G3", "cfs", "mean")
	require.ErrorContains(t, err, "no row of huawei at 90 % with group G3")
	write("b.tsv", "workload\tload_pct\tseries\tours/paper\nhuawei\t90\tcfs\t0.9\nhuawei\t90\tcfs\t\nhuawei\t90\tcfs\t1.3\nhuawei\t90\talps\t2\nhuawei\t80\tcfs\t9\nazure\t90\tcfs\t9\n")
	for series, want := range map[string]string{"cfs": "20 %", "alps": "100 %", "": "30 %"} {
		got, err := tab.deviation("b.tsv", "huawei", series)
		require.NoError(t, err)
		require.Equal(t, want, got, series)
	}
	_, err = tab.deviation("b.tsv", "huawei", "sfs")
	require.ErrorContains(t, err, `no bar of huawei at 90 % that the paper plots, of series "sfs"`)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "report"), 0o755))
	write("report/means.tsv", "figure\tengine\tworkload\tload_pct\tseries\trequest_ms\nfig06\tvm\thuawei\t80\tcfs\t1\nfig06\tsim\thuawei\t90\tcfs\t2\nfig06\tvm\thuawei\t90\tcfs\t3\n")
	got3, err := tab.average("fig06", "vm", "huawei", "cfs", "request_ms")
	require.NoError(t, err)
	require.Equal(t, 3.0, got3)
	_, err = tab.average("fig06", "vm", "huawei", "alps", "request_ms")
	require.ErrorContains(t, err, "no row of fig06, vm, huawei at 90 % with series alps")
	write("report/claims.tsv", "text\tmeasured_verdict\tmeasured\tlarge_verdict\tlarge\tlarge_rounds\tsimulated_verdict\tsimulated\n"+
		"one\tholds\tm\topposite\tl\t1\tholds\ts\ntwo\tno effect\tm\tnot measured\t\t\tholds\ts\nthree\tnot measured\t\tnot measured\t\t\tholds\ts\nfour\tnot measured\t\tnot measured\t\t\tnot simulated\t\n"+
		"five\tno effect\tm\tholds\tl\t3\tholds\ts\n")
	all, err := tab.claims()
	require.NoError(t, err)
	require.Equal(t, []verdict{{"measured on 24 CPUs, one round", "opposite", "l"}, {"measured", "no effect", "m"}, {"simulated", "holds", "s"}, {}, {"measured on 24 CPUs", "holds", "l"}},
		[]verdict{all[0].Best, all[1].Best, all[2].Best, all[3].Best, all[4].Best}, "the largest machine that was asked, and whether it was asked in one round")
	marked, err := tab.ofOneRound()
	require.NoError(t, err)
	require.Equal(t, 1, marked)
	lost, err := tab.unconfirmed()
	require.NoError(t, err)
	require.Len(t, lost, 2)
	require.True(t, tab.has("a.tsv"))
	require.False(t, tab.has("c.tsv"))
	for column, want := range map[string]string{"against": "−2 %", "ms > against": "−2 %"} {
		got, err := tab.cell("a.md", column, "huawei")
		require.NoError(t, err)
		require.Equal(t, want, got, column)
	}
	got, err := tab.cell("a.md", "ms", "azure")
	require.NoError(t, err)
	require.Equal(t, "7", got)
	require.Equal(t, 4, find([]string{"x", "a", "b", "c", "b, of 3"}, "c > b"))
	_, err = tab.cell("a.md", "nothing", "huawei")
	require.Error(t, err)
	require.Equal(t, "−49 %", change(100, 51))
	require.Equal(t, "+29 %", change(100, 129))
	require.Equal(t, "0 %", change(100, 99.9))
	require.Equal(t, "× 4.5", change(100, 448))
	_, err = surely(false)
	require.Error(t, err)
	write("report/runs.json", `[{"engine": "vm", "workload": "huawei", "scheduler": "cfs", "load_asked": 0.9, "function_cpus": 4, "load_achieved": 0.9, "platform_per_request_ns": 2000000, "mean_gap_ns": 5000000}]`)
	asked, err := tab.demand(4)
	require.NoError(t, err)
	require.Equal(t, "100 %", asked, "0.9, and 2 of 20 ms")
	_, err = tab.demand(24)
	require.ErrorContains(t, err, "no run of cfs on huawei at 90 % in a guest with 24 CPUs")
	require.Equal(t, "7.1 times", times(339, 2405))
	write("report/runs.json", `[{"engine": "vm", "workload": "huawei", "scheduler": "alps", "load_asked": 0.9, "function_cpus": 4, "round": 1, "invocations": 1322, "kernel": "6.1", "accelerator": "vtime", "revision": "abc"},
		{"engine": "vm", "workload": "azure", "scheduler": "alps", "load_asked": 0.9, "function_cpus": 4, "round": 2, "invocations": 226, "kernel": "6.1", "accelerator": "vtime", "revision": "abd"},
		{"engine": "vm", "workload": "huawei", "scheduler": "cfs", "load_asked": 0.9, "function_cpus": 4, "round": 1, "invocations": 1322, "kernel": "6.1", "accelerator": "vtime", "revision": "aba"}]`)
	one, err := tab.conditions(4, "huawei")
	require.NoError(t, err)
	require.Equal(t, "kernel 6.1, virtual time, 4 CPUs for the functions, one round of 1,322 invocations, code aba, abc", one, "of all series")
	two, err := tab.conditions(4, "huawei", "azure")
	require.NoError(t, err)
	require.Equal(t, "kernel 6.1, virtual time, 4 CPUs for the functions, 2 rounds of 1,322 (Huawei) and 226 (Azure) invocations, code aba, abc, abd", two)
	_, err = tab.conditions(4)
	require.Error(t, err)
	_, err = tab.conditions(4, "drift")
	require.ErrorContains(t, err, "no run of alps on drift")
	rounds, err := tab.rounds(4)
	require.NoError(t, err)
	require.Equal(t, 1, rounds)
	write("report/means.tsv", "figure\tengine\tworkload\tload_pct\tseries\trounds\trequest_over_cfs\trequest_over_cfs_lo95\trequest_over_cfs_hi95\n"+
		"fig06\tvm\thuawei\t90\talps\t3\t1.314\t0.9\t1.7\nheadline\tvm\thuawei\t90\talps\t1\t0.81\t0.7\t0.99996\nfig06\tvm\tazure\t90\talps\t1\t\t\t\n")
	for figure, want := range map[string]string{"fig06": "+31.4 % (−10.0 to +70.0 %)", "headline": "−19.0 % (−30.0 to −0.004 %, within one run)"} {
		got, err := tab.against(figure, "vm", "huawei", "alps", "request")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err = tab.against("fig06", "vm", "azure", "alps", "request")
	require.Error(t, err, "nothing of cfs ran")
	write("report/means.tsv", "figure\tengine\tworkload\tload_pct\tseries\trounds\tn\nheadline\tsim\thuawei\t90\tcfs\t3\t9000\n")
	n, err := tab.simulated("headline")
	require.NoError(t, err)
	require.Equal(t, "3,000", thousands(n))
	_, err = tab.simulated("fig06")
	require.ErrorContains(t, err, "no simulated row of fig06")
	_, err = tab.claim("five")
	require.ErrorContains(t, err, `no claim "five"`)
}
