// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/pagetest"
)

func TestDeclaredKernels(t *testing.T) {
	kernels, err := List(".")
	require.NoError(t, err)
	def, err := Find(kernels, "")
	require.NoError(t, err)
	require.Equal(t, "5.18-rc5", def.Name.V)
	require.Equal(t, "672c0c5173427e6b3e2a9bbb7be51ceeec78093a", def.Sources[0].Commit.V)
	_, err = Find(kernels, "6.1")
	require.NoError(t, err)
	_, err = Find(kernels, "6.2")
	var names []string
	for _, k := range kernels {
		names = append(names, k.Name.V)
	}
	require.EqualError(t, err, `kernel "6.2" is not in kernels.yaml; allowed: `+strings.Join(names, ", "))
	for _, k := range kernels {
		for _, f := range k.Config {
			_, err := readFragment(f.V)
			require.NoError(t, err)
		}
		series, err := filepath.Glob(filepath.Join(k.Patches.V, "*.patch"))
		require.NoError(t, err)
		require.Equal(t, k.Patches.V != "", len(series) > 0, "%s: patches: %s", k.Name.V, k.Patches.V)
	}
}

func TestErrorsNameLineAndKey(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"default: a\nkernels:\n- name: a\n  sources: [{git: x, tag: v1, commit: 12}]\n  config: [c]\n",
			`k.yaml:4:39: kernels[0].sources[0].commit: "12": 40 hexadecimal digits are needed`},
		{"default: b\nkernels:\n- name: a\n  sources: [{package: p}]\n  config: [c]\n",
			`k.yaml:1:10: default: "b" is not among the kernels; allowed: a`},
		{"default: a\nkernels:\n- name: a\n  sorces: []\n", `k.yaml:4:3: sorces: no such key`},
		{"default: a\nkernels:\n- name: a\n  sources: [{git: x, package: p}]\n  config: [c]\n", "give one of git, package and binary"},
		{"default: a\nkernels:\n- name: a\n  sources: [{binary: linux-image-1}]\n  modules: m\n", `k.yaml:4:22: kernels[0].sources[0].suite: missing`},
		{"default: a\nkernels:\n- name: a\n  sources: [{binary: linux, suite: s}]\n  modules: m\n", `kernels[0].sources[0].binary: "linux": want the name of a package linux-image-RELEASE`},
		{"default: a\nkernels:\n- name: a\n  sources: [{binary: linux-image-1, suite: s}]\n", `k.yaml:3:9: kernels[0].modules: missing`},
		{"default: a\nkernels:\n- name: a\n  sources: [{binary: linux-image-1, suite: s}]\n  modules: m\n  config: [c]\n", `config and patches are for kernels that are built`},
		{"default: a\nkernels:\n- name: a\n  sources: [{package: p}]\n  config: [c]\n  modules: m\n", `k.yaml:6:12: kernels[0].modules: is for kernels with binary sources`},
		{"default: a\nkernels:\n- name: a\n  sources: [{package: p}, {binary: linux-image-1, suite: s}]\n  config: [c]\n", `either all sources of a kernel are binary, or none is`},
	} {
		_, err := parse("k.yaml", []byte(c.in))
		require.ErrorContains(t, err, c.want)
	}
}

func fragment(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "f.config")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestVerifyNamesWhatWasAskedAndWhatCame(t *testing.T) {
	path := fragment(t, "# a comment\nCONFIG_A=y\nCONFIG_B=100\n# CONFIG_C is not set\n\nCONFIG_D=\"x y\"\nCONFIG_E=y\n")
	syms, err := readFragment(path)
	require.NoError(t, err)
	require.NoError(t, verify(syms, []byte("CONFIG_A=y\nCONFIG_B=100\nCONFIG_D=\"x y\"\nCONFIG_E=y\nCONFIG_Z=y\n")))
	err = verify(syms, []byte("# CONFIG_A is not set\nCONFIG_B=250\nCONFIG_C=y\nCONFIG_D=\"x y\"\nCONFIG_E=m\n"))
	require.EqualError(t, err, strings.Join([]string{
		path + ":2: CONFIG_A: asked for y, came out n: a dependency is missing or the symbol does not exist in this kernel",
		path + ":3: CONFIG_B: asked for 100, came out 250",
		path + ":4: CONFIG_C: asked for n, came out y: something selects it",
		path + ":7: CONFIG_E: asked for y, came out m",
	}, "\n"))
}

func TestFragmentsRefuseNonsense(t *testing.T) {
	path := fragment(t, "CONFIG_A=y\nCONFIG_A=n\n")
	_, err := readFragment(path)
	require.EqualError(t, err, path+":2: CONFIG_A is set already in line 1")
	path = fragment(t, "CONFG_A y\n")
	_, err = readFragment(path)
	require.ErrorContains(t, err, path+":1: ")
}

func TestLaterFragmentsWin(t *testing.T) {
	a := []symbol{{name: "CONFIG_A", value: "y"}, {name: "CONFIG_B", value: "1"}}
	b := []symbol{{name: "CONFIG_A", value: "n"}}
	require.Equal(t, "# CONFIG_A is not set\nCONFIG_B=1\n", string(render(merge(a, b))))
}

// Whatever goes into a kernel must change its key.
func TestKeyFollowsEveryInput(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "p"), 0o755))
	patch := filepath.Join(dir, "p", "1.patch")
	require.NoError(t, os.WriteFile(patch, []byte("a"), 0o644))
	b := &builder{opts: Options{Dir: dir}, compiler: "gcc 12", symbols: []symbol{{name: "CONFIG_A", value: "y"}}}
	b.kernel.Patches.V = "p"
	keys := map[string]bool{}
	add := func(source string) {
		k, err := b.key(source)
		require.NoError(t, err)
		require.False(t, keys[k])
		keys[k] = true
	}
	add("s1")
	add("s2")
	b.compiler = "gcc 13"
	add("s1")
	b.symbols[0].value = "n"
	add("s1")
	require.NoError(t, os.WriteFile(patch, []byte("b"), 0o644))
	add("s1")
}

// A series that people review stays small, counted in lines of code added, without comments.
func TestSeriesStaySmall(t *testing.T) {
	const most = 243
	pagetest.Says(t, "docs/kernel.md", fmt.Sprintf("at most %d lines that are neither blank nor comments", most))
	for _, name := range []string{"5.18-rc5", "6.1"} {
		files, err := filepath.Glob("patches/" + name + "/*.patch")
		require.NoError(t, err)
		added := 0
		hooks := map[string]int{}
		for _, path := range files {
			f, err := os.Open(path)
			require.NoError(t, err)
			defer f.Close()
			sc := bufio.NewScanner(f)
			for sc.Scan() {
				line, ok := strings.CutPrefix(sc.Text(), "+")
				text := strings.TrimSpace(line)
				if !ok || strings.HasPrefix(line, "++") || text == "" || strings.HasPrefix(text, "*") || strings.HasPrefix(text, "/*") || strings.HasPrefix(text, "//") {
					continue
				}
				added++
				for _, h := range Hooks {
					hooks[h] += strings.Count(text, h+"(")
				}
			}
		}
		require.LessOrEqual(t, added, most, name)
		for _, h := range Hooks {
			require.GreaterOrEqual(t, hooks[h], 3, "%s: %s is declared, defined and called", name, h)
		}
	}
}

// Without FAIR_GROUP_SCHED there are no groups (cfs_rq has no tg): each function that uses
// them lies in fair.c's #ifdef for groups, and has a macro in its place in the #else.
func TestSeriesCompileWithoutGroups(t *testing.T) {
	data, err := os.ReadFile("patches/6.1/0001-sched-fair-ask-BPF-for-order-and-slices.patch")
	require.NoError(t, err)
	_, fair, ok := strings.Cut(string(data), "\n+++ b/kernel/sched/fair.c\n")
	require.True(t, ok)
	fair, _, ok = strings.Cut(fair, "\ndiff ")
	require.True(t, ok)
	hunks := strings.Split(fair, "\n@@ ")
	standIns := map[string]bool{}
	for _, hunk := range hunks {
		groups, without, both := strings.Cut(hunk, "\n #else\t/* !CONFIG_FAIR_GROUP_SCHED */\n")
		if !both {
			continue
		}
		for _, m := range regexp.MustCompile(`(?m)^\+static .*?(alps_\w+)\(`).FindAllStringSubmatch(groups, -1) {
			standIns[m[1]] = true
			require.Contains(t, without, "\n+#define "+m[1]+"(")
		}
	}
	require.NotEmpty(t, standIns)
	// These macros drop their arguments, so that an argument may name tg.
	dropped := regexp.MustCompile(`alps_cgroup\([^)]*\)->tg\)`)
	require.True(t, standIns["alps_cgroup"])
	for _, hunk := range hunks {
		if strings.Contains(hunk, "\n #else\t/* !CONFIG_FAIR_GROUP_SCHED */\n") {
			continue
		}
		for line := range strings.Lines(hunk) {
			if strings.HasPrefix(line, "+") {
				require.NotRegexp(t, `\btg\b|task_group`, dropped.ReplaceAllString(line, ""))
			}
		}
	}
}

func TestAForeignTreeIsRefused(t *testing.T) {
	_, err := localTree(t.TempDir())
	require.ErrorContains(t, err, "kernel/sched/fair.c")
}

func TestDiffNamesTheFilesOfASeries(t *testing.T) {
	var short, whole bytes.Buffer
	require.NoError(t, Diff(t.Context(), ".", "6.1", false, &short))
	require.Regexp(t, `(?m)^0001-.*\.patch$`, short.String())
	require.Regexp(t, `(?m)^ kernel/sched/fair\.c +\| +[0-9]+ `, short.String())
	require.Contains(t, short.String(), "include/linux/sched.h ", "also what is not below the current directory")
	require.Contains(t, short.String(), "create kernel/sched/alps.c")
	require.NotContains(t, short.String(), "@@")
	require.NoError(t, Diff(t.Context(), ".", "6.1", true, &whole))
	require.True(t, strings.HasPrefix(whole.String(), short.String()))
	require.Contains(t, whole.String(), "+++ b/kernel/sched/fair.c")
	short.Reset()
	require.NoError(t, Diff(t.Context(), ".", "7.3", false, &short))
	require.Equal(t, "7.3: no series\n", short.String())
	require.ErrorContains(t, Diff(t.Context(), ".", "9.9", false, &short), `kernel "9.9" is not in kernels.yaml`)
}

// The debug fragment goes over the kernel's own, and the fragments of -config over both.
// Each combination has another key.
func TestFragmentsOnTop(t *testing.T) {
	kernels, err := List(".")
	require.NoError(t, err)
	k, err := Find(kernels, "6.1")
	require.NoError(t, err)
	own := filepath.Join(t.TempDir(), "own.config")
	require.NoError(t, os.WriteFile(own, []byte("CONFIG_HZ_1000=y\n# CONFIG_HZ_250 is not set\n# CONFIG_PROVE_LOCKING is not set\n"), 0o644))
	keys := map[string]bool{}
	value := func(o Options, name string) string {
		o.Dir = "."
		syms, err := o.symbols(k)
		require.NoError(t, err)
		key, err := (&builder{kernel: k, opts: o, symbols: syms}).key("source")
		require.NoError(t, err)
		keys[key] = true
		for _, s := range syms {
			if s.name == name {
				return s.value
			}
		}
		return ""
	}
	require.Equal(t, "", value(Options{}, "CONFIG_PROVE_LOCKING"))
	require.Equal(t, "y", value(Options{Debug: true}, "CONFIG_PROVE_LOCKING"))
	require.Equal(t, "n", value(Options{Debug: true, Extra: []string{own}}, "CONFIG_PROVE_LOCKING"), "the last word")
	require.Equal(t, "n", value(Options{Extra: []string{own}}, "CONFIG_HZ_250"))
	require.Len(t, keys, 4)
	_, err = Options{Dir: ".", Extra: []string{"none.config"}}.symbols(k)
	require.ErrorContains(t, err, "none.config")
}

func TestKernelsWithoutCFSAreRefused(t *testing.T) {
	tree := t.TempDir()
	for version, ok := range map[string]bool{"5\nPATCHLEVEL = 18": true, "6\nPATCHLEVEL = 1": true, "6\nPATCHLEVEL = 5": true,
		"6\nPATCHLEVEL = 6": false, "6\nPATCHLEVEL = 12": false, "7\nPATCHLEVEL = 0": false} {
		require.NoError(t, os.WriteFile(filepath.Join(tree, "Makefile"), []byte("# SPDX\nVERSION = "+version+"\nSUBLEVEL = 3\n"), 0o644))
		if err := checkCFS(tree); ok {
			require.NoError(t, err, version)
		} else {
			require.ErrorContains(t, err, "EEVDF", version)
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(tree, "Makefile"), []byte("all:\n"), 0o644))
	require.Error(t, checkCFS(tree))
}

// Both series make the same hooks: but for line numbers and the lines around a
// hunk, they are the same.
func TestSeriesAreInStep(t *testing.T) {
	changes := func(name string) (all []string) {
		data, err := os.ReadFile("patches/" + name + "/0001-sched-fair-ask-BPF-for-order-and-slices.patch")
		require.NoError(t, err)
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "@@") && !strings.HasPrefix(line, " ") {
				all = append(all, line)
			}
		}
		return all
	}
	require.Equal(t, changes("5.18-rc5"), changes("6.1"))
}
