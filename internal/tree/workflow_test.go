// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// workflows are the paths of the workflows (linted), and of these with this repository's
// action and the template of the workflow that experiments:plan -format=github writes (all).
func workflows(t *testing.T) (linted, all []string) {
	root, err := Root()
	require.NoError(t, err)
	linted, err = filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, linted)
	return linted, append([]string{
		filepath.Join(root, ".github", "actions", "rig", "action.yaml"),
		filepath.Join(root, "experiments", "plan", "manifests", "github.yaml.tmpl"),
	}, linted...)
}

// The workflows are checked by the linter this module pins as a tool.
func TestWorkflowsAreWellFormed(t *testing.T) {
	files, _ := workflows(t)
	cmd := exec.Command("go", append([]string{"tool", "actionlint", "-no-color"}, files...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// The linter does not check these: every action is pinned by a commit, with its version in
// a comment, and has one version everywhere; caches have paths that actions/cache takes;
// artifacts say for how many days they are kept, and leave out the runs' invocations.
func TestWorkflowsArePinned(t *testing.T) {
	_, files := workflows(t)
	pin := regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	versions := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			_, uses, ok := strings.Cut(line, "uses: ")
			if uses = strings.TrimSpace(uses); !ok || uses == "composite" || strings.HasPrefix(uses, "./") {
				continue
			}
			require.Regexp(t, pin, uses, file)
			name, version, _ := strings.Cut(uses, "@")
			if other := versions[name]; other != "" {
				require.Equal(t, other, version, "%s: two versions of %s", file, name)
			}
			versions[name] = version
		}
		require.NotContains(t, string(text), "/../", "%s: actions/cache refuses it", file)
		require.NotContains(t, string(text), "invocations.csv", file)
		require.Equal(t, strings.Count(string(text), "upload-artifact@"), strings.Count(string(text), "retention-days: "), file)
	}
	require.Len(t, versions, 5)
}

// The workflows run every stage of .ci/run, and no target beside them; a push to main does not end the runs
// of the push before; every job has a time limit.
func TestWorkflowAndScriptDoTheSame(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	require.NoError(t, err)
	stages := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^stage_(\w+)\(\)`).FindAllStringSubmatch(string(script), -1) {
		stages[m[1]] = false
	}
	files, _ := workflows(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var w struct {
			Concurrency struct {
				Group  string
				Cancel string `yaml:"cancel-in-progress"`
			}
			Jobs map[string]struct {
				Timeout int `yaml:"timeout-minutes"`
				Steps   []struct{ Uses, Run string }
			}
		}
		require.NoError(t, yaml.Unmarshal(text, &w), file)
		if filepath.Base(file) == "ci.yaml" {
			require.Contains(t, w.Concurrency.Group, "github.ref == 'refs/heads/main' && github.sha")
			require.Contains(t, w.Concurrency.Cancel, "github.ref != 'refs/heads/main'")
		}
		require.NotEmpty(t, w.Jobs)
		for name, job := range w.Jobs {
			require.NotZero(t, job.Timeout, "%s: %s", file, name)
			runs := 0
			for _, s := range job.Steps {
				require.NotContains(t, s.Run, "mage.go", "%s: %s: what CI does belongs into .ci/run", file, name)
				args, ok := strings.CutPrefix(s.Run, ".ci/run ")
				if !ok {
					continue
				}
				runs++
				for _, stage := range strings.Fields(args) {
					require.Contains(t, stages, stage, "%s: %s", file, name)
					stages[stage] = true
				}
			}
			require.Equal(t, 1, runs, "%s: %s", file, name)
		}
	}
	for stage, used := range stages {
		require.True(t, used, "no workflow runs stage %s", stage)
	}
}
