package results

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/ours"
)

func put(t *testing.T, path string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, nil, 0o644))
}

// What somebody has put where a result is to be, or beside results, stays.
func TestOthersFilesStay(t *testing.T) {
	root := t.TempDir()
	dir := Dir(root, EngineVM, "key")
	put(t, filepath.Join(dir, "thesis.tex"))
	put(t, filepath.Join(dir, jsonName))
	err := Write(dir, Result{Run: Run{Engine: EngineVM}})
	require.ErrorContains(t, err, "thesis.tex in it is of no making of ours")
	require.FileExists(t, filepath.Join(dir, "thesis.tex"))
	require.FileExists(t, filepath.Join(dir, jsonName))

	torn, theirs := filepath.Join(root, EngineVM, partialPrefix+"12"), filepath.Join(root, "home", partialPrefix+"34")
	put(t, filepath.Join(torn, csvName))
	put(t, filepath.Join(theirs, "letter.txt"))
	put(t, filepath.Join(root, "home", partialPrefix+"x", jsonName))
	require.NoError(t, RemovePartial(root))
	require.NoDirExists(t, torn)
	require.FileExists(t, filepath.Join(theirs, "letter.txt"))
	require.FileExists(t, filepath.Join(root, "home", partialPrefix+"x", jsonName))
}

// All that a results directory has of ours has a form, and nothing else.
func TestForms(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{".lock", "sim/a-50-12/run.json", "vm/b/invocations.csv", "vm/b/slices.csv", "table1/table1-groups/table.csv",
		"fig06/plan-vm.json", "fig06/.plan-sim.json123", "vm/.partial-7/run.json"} {
		put(t, filepath.Join(root, path))
	}
	others := []string{"fig06/my-plan-vm.json", "notes.md", "run.json", "vm/b/c/run.json", "vm/b/console.log"}
	for _, path := range others {
		put(t, filepath.Join(root, path))
	}
	left, err := ours.Prune(root, Forms()...)
	require.NoError(t, err)
	require.ElementsMatch(t, others, left)
}
