// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/internal/measured"
	"github.com/ds2-lab/alps/vm"
)

func TestFunctionCPUs(t *testing.T) {
	for cpus, want := range map[int]string{1: "0", 2: "1", 24: "1-23"} {
		require.Equal(t, want, Artifacts{CPUs: cpus}.functionCPUs())
	}
}

// Runs start from a snapshot that was made in the same way: another program, command or
// QEMU command line is another snapshot.
func TestSnapshotsFollowEveryInput(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*Artifacts){
		"nothing":            func(*Artifacts) {},
		"tools":              func(a *Artifacts) { a.ToolsDigest = "other" },
		"CPUs":               func(a *Artifacts) { a.CPUs = 4 },
		"memory":             func(a *Artifacts) { a.opts.MemMiB = 4096 },
		"backend":            func(a *Artifacts) { a.variant.Backend = config.BackendSCX },
		"agent":              func(a *Artifacts) { a.variant.Agent = true },
		"worker":             func(a *Artifacts) { a.variant.Worker = "ol" },
		"deployment":         func(a *Artifacts) { a.variant.Deployment = config.AsPaper },
		"platform's 13 ms":   func(a *Artifacts) { a.variant.Deployment, a.PlatformModelled = config.AsPaper, 13*time.Millisecond },
		"platform's 13.4 ms": func(a *Artifacts) { a.variant.Deployment, a.PlatformModelled = config.AsPaper, 13400*time.Microsecond },
	} {
		a := Artifacts{Accel: vm.VTime, CPUs: 5, ToolsDigest: "tools"}
		a.Kernel.BzImage, a.Image.Path, a.QEMU.Path = "bzImage", "disk.qcow2", "qemu"
		change(&a)
		_, p, err := a.snapshot()
		require.NoError(t, err)
		require.Empty(t, seen[p.Key], name)
		seen[p.Key] = name
	}
	a, err := Artifacts{}.Variant(t.Context(), Variant{Deployment: config.AsPaper})
	require.NoError(t, err)
	require.Equal(t, platformShare, a.PlatformModelled)
}

// A revision without + has nothing in it that its commit has not, but files that go
// into nothing that is measured.
func TestRevisionOfFilesThatAreNotCommitted(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644))
	}
	git := func(args ...string) {
		out, err := exec.Command("git", slices.Concat([]string{"-C", dir, "-c", "user.email=a@b", "-c", "user.name=a"}, args)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	git("init", "-q")
	write("a.go", "package p\n")
	write("experiments/fig06.yaml", "name: fig06\n")
	write(measured.Path, "name\n")
	git("add", ".")
	git("commit", "-qm", "a")
	for path, marked := range map[string]bool{
		"":                               false,
		"a.go":                           true, // changed
		"experiments/fig06.yaml":         true, // changed
		measured.Path:                    false,
		"b.go":                           true,
		"new folder/ü.go":                true,
		"bpf/new.bpf.c":                  true,
		"bpf/new.h":                      true,
		"bpf/new_bpfel.o":                true,
		"tools/new.py":                   true,
		"kernel/patches/6.1/0009.patch":  true,
		"kernel/config/new.config":       true,
		"openlambda/functions/f/data":    true,
		"openlambda/image/Dockerfile.2":  true,
		"experiments/mine.yaml":          false,
		"experiments/workloads/our.yaml": false,
		"experiments/traces/our.csv":     false,
		"results/vm/key/run.json":        false,
		"report/index.html":              false,
		"elsewhere/cache/done.json":      false,
		"shards/1/vm/key/run.json":       false,
		"notes.txt":                      false,
	} {
		if path != "" {
			write(path, "other\n")
		}
		require.Equal(t, marked, strings.HasSuffix(revision(t.Context(), dir), "+"), path)
		git("checkout", "-q", ".")
		git("clean", "-fdq")
	}
	require.Equal(t, "unknown", revision(t.Context(), t.TempDir()))
}

// What is measured is keyed by the guest's programs: no experiment, workload or
// trace may be in them, nor the simulator.
func TestGuestHasNoExperimentInIt(t *testing.T) {
	list := func(commands ...string) string {
		cmd := exec.Command("go", slices.Concat([]string{"list", "-deps", "-f", "{{.ImportPath}}{{range .EmbedFiles}} {{$.ImportPath}}/{{.}}{{end}}"}, commands)...)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		require.NoError(t, err)
		return string(out)
	}
	left := []string{"experiments/workloads/huawei.yaml", "experiments/traces/huawei.csv", "/experiments/config\n", "/experiments/simulate\n", "/alps/sim\n"}
	simulator, guest := list("./alps/cmd/alps-sim"), list(guestCommands...)
	for _, x := range left {
		require.Contains(t, simulator, x, "else the test looks for what is nowhere")
		require.NotContains(t, guest, x)
	}
	require.NotContains(t, guest, ".yaml")
}
