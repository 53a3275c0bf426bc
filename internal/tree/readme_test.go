// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every mage target that the documents name exists, with the flags they use.
func TestDocumentedTargetsExist(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	list := exec.Command("go", "run", "mage.go", "-l")
	list.Dir = root
	out, err := list.CombinedOutput()
	require.NoError(t, err, "%s", out)
	targets := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "  ") && len(f) > 1 {
			targets[strings.ToLower(strings.TrimSuffix(f[0], "*"))] = true
		}
	}
	require.True(t, targets["reproduce"], "%s", out)
	for _, alias := range []string{"test", "testvm"} { // which the list leaves out
		help := exec.Command("go", "run", "mage.go", "-h", alias)
		help.Dir = root
		usage, err := help.CombinedOutput()
		require.NoError(t, err, "%s", usage)
		require.Contains(t, string(usage), "Aliases: "+map[string]string{"test": "test\n", "testvm": "testVM\n"}[alias])
		targets[alias] = true
	}

	call := regexp.MustCompile("(?m)(?:go run mage\\.go|`mage|^\t+mage|\\{ mage) ([a-zA-Z]+(?::[a-zA-Z]+)?)((?: -[a-z]+=\\S+)*)")
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	docs = append(docs, filepath.Join(root, "README.md"), filepath.Join(root, "ARCHITECTURE.md"),
		filepath.Join(root, ".github", "workflows", "ci.yaml"), filepath.Join(root, ".ci", "run"))
	found := 0
	for _, doc := range docs {
		b, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, m := range call.FindAllStringSubmatch(string(b), -1) {
			if m[1] == "TARGET" {
				continue
			}
			found++
			require.True(t, targets[strings.ToLower(m[1])], "%s names target %s, which does not exist", doc, m[1])
			if m[2] == "" {
				continue
			}
			help := exec.Command("go", "run", "mage.go", "-h", m[1])
			help.Dir = root
			usage, err := help.CombinedOutput()
			require.NoError(t, err, "%s", usage)
			for _, flag := range strings.Fields(m[2]) {
				name, _, _ := strings.Cut(flag, "=")
				require.Contains(t, strings.ToLower(string(usage)), name+"=", "%s uses %s with %s", doc, m[1], name)
			}
		}
	}
	require.Greater(t, found, 3)
}

// The programs that pages build can be built so: an output named like a folder
// cannot.
func TestDocumentedBuildsWork(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	build := regexp.MustCompile(`(?m)^ +(?:[A-Z_]+=\S+ )*go build ([^&|;#\n]+)`)
	found := 0
	for page, text := range documents(t, root) {
		for _, m := range build.FindAllStringSubmatch(text, -1) {
			found++
			dry := exec.Command("go", append([]string{"build", "-n"}, strings.Fields(m[1])...)...)
			dry.Dir = root
			out, err := dry.CombinedOutput()
			require.NoError(t, err, "%s: go build %s: %s", page, m[1], out[max(0, len(out)-300):])
		}
	}
	require.GreaterOrEqual(t, found, 3)
}

// Several targets run in one checkout at once, also from its subfolders, and leave no files behind.
func TestTargetsRunSideBySide(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	var running []*exec.Cmd
	for i := range 6 {
		c := exec.Command("go", "run", "mage.go", "vm:plan", "-accel=tcg")
		c.Dir = root
		if i%2 == 1 {
			c.Args[2], c.Dir = filepath.Join("..", "mage.go"), filepath.Join(root, "docs")
		}
		c.Stderr, c.Stdout = new(bytes.Buffer), new(bytes.Buffer)
		require.NoError(t, c.Start())
		running = append(running, c)
	}
	for _, c := range running {
		require.NoError(t, c.Wait(), "%s", c.Stderr)
		require.Contains(t, c.Stdout.(*bytes.Buffer).String(), "qemu-system-x86_64 ")
	}
	for _, dir := range []string{root, filepath.Join(root, "docs")} {
		require.NoFileExists(t, filepath.Join(dir, "mage_output_file.go"))
		require.NoDirExists(t, filepath.Join(dir, ".magefile"))
	}
}

// A target explains itself whichever side of it -h stands on, with mage itself as
// with mage.go.
func TestTargetsExplainThemselves(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	run := func(name string, args ...string) string {
		c := exec.Command(name, args...)
		c.Dir = root
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	mage := filepath.Join(t.TempDir(), "mage")
	run("go", "build", "-o", mage, "github.com/magefile/mage")
	usage := run("go", "run", "mage.go", "-h", "vm:shell")
	require.Contains(t, usage, "-cpus=")
	for _, args := range [][]string{{"vm:shell", "-h"}, {"vm:shell", "--help"}, {"vm:shell", "-cpus=2", "-help"}} {
		require.Equal(t, usage, run("go", append([]string{"run", "mage.go"}, args...)...))
		require.Equal(t, usage, run(mage, args...))
	}
	require.Equal(t, usage, run(mage, "-h", "vm:shell"))
	require.Equal(t, run("go", "run", "mage.go", "-h", "test"), run(mage, "test", "-h"))
	// mage itself accepts a value without its flag's name, too.
	require.Equal(t, run("go", "run", "mage.go", "vm:plan", "-accel=tcg"), run(mage, "vm:plan", "-accel=tcg"))
	require.Equal(t, run("go", "run", "mage.go", "kernel:diff", "6.1", "-stat"), run(mage, "kernel:diff", "6.1", "-stat"))
}
