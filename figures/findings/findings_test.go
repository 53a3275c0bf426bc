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
	require.Equal(t, "7.1 times", times(339, 2405))
}
