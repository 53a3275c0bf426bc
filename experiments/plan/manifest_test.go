// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/vm"
)

func manifestOf(t *testing.T, p Plan, format string, o ManifestOptions) string {
	var b bytes.Buffer
	require.NoError(t, p.WriteManifest(&b, format, p.RunArgs("6.1"), o))
	return b.String()
}

// check runs a program over a file with the given content.
func check(t *testing.T, name, content string, args ...string) error {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	out, err := exec.Command(args[0], append(args[1:], path)...).CombinedOutput()
	if err != nil {
		t.Logf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return err
}

var (
	actionlint = []string{"go", "tool", "actionlint"}
	// testdata/job.json is the schema of batch/v1 Job in Kubernetes 1.33, taken
	// from its OpenAPI description, without the descriptions of fields.
	kubeconform = []string{"go", "tool", "kubeconform", "-strict", "-schema-location", "testdata/job.json"}
	bash        = []string{"bash", "-n"}
)

func TestManifestsFollowTheirSchemas(t *testing.T) {
	for _, experiment := range []string{"tails", "order", "all"} {
		p := planned(t, experiment, Options{Profile: "quick"})
		o := ManifestOptions{Shards: 3}
		require.NoError(t, check(t, "w.yaml", manifestOf(t, p, "github", o), actionlint...))
		require.NoError(t, check(t, "s.sh", manifestOf(t, p, "slurm", o), bash...))
		require.NoError(t, check(t, "j.yaml", manifestOf(t, p, "k8s", o), kubeconform...))
		o.KVM = "hostpath"
		require.NoError(t, check(t, "j.yaml", manifestOf(t, p, "k8s", o), kubeconform...))
	}
	// The checks can fail.
	p := planned(t, "tails", Options{})
	o := ManifestOptions{Shards: 2}
	broken := func(format, old, new string) string {
		text := manifestOf(t, p, format, o)
		require.Contains(t, text, old)
		return strings.ReplaceAll(text, old, new)
	}
	require.Error(t, check(t, "w.yaml", broken("github", "needs: shard", "needs: shards"), actionlint...))
	require.Error(t, check(t, "j.yaml", broken("k8s", "completionMode", "completionsMode"), kubeconform...))
	require.Error(t, check(t, "j.yaml", broken("k8s", "completions: 2", `completions: "2"`), kubeconform...))
	require.Error(t, check(t, "s.sh", broken("slurm", `exec go`, `exec "go`), bash...))
}

// Every flag of experiments:plan that says what runs, and in what guests, is in the
// command of each shard. A flag that was not given leaves the choice to the host.
func TestManifestsHaveTheFlagsOfThePlan(t *testing.T) {
	for want, o := range map[string]Options{
		"fig06 -profile=smoke": {},
		"fig06 -engine=vm -profile=brief -accel=vtime -cpus=25 -jobs=3": {Engine: "vm", Profile: "brief", Jobs: 3, Guest: guest.Options{Accel: vm.VTime, CPUs: 25}},
		"fig06 -profile=smoke -cpus=4":                                  {Guest: guest.Options{Accel: vm.Auto, CPUs: 4}},
	} {
		require.Equal(t, want, strings.Join(planned(t, "fig06", o).RunArgs(""), " "))
	}
}

func TestManifestsRunEveryShard(t *testing.T) {
	p := planned(t, "tails", Options{Profile: "quick", Guest: guest.Options{Accel: "kvm"}})
	var workflow struct {
		Jobs map[string]struct {
			Strategy struct{ Matrix struct{ Shard []string } }
			Steps    []struct{ Run string }
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(manifestOf(t, p, "github", ManifestOptions{})), &workflow))
	require.Equal(t, []string{"1/3", "2/3", "3/3"}, workflow.Jobs["shard"].Strategy.Matrix.Shard, "a round each")

	var job struct {
		Spec struct {
			Completions, Parallelism int
			Template                 struct {
				Spec struct {
					Containers []struct {
						Image     string
						Args      []string
						Resources struct{ Limits map[string]string }
					}
					Volumes []struct {
						HostPath struct{ Path string } `yaml:"hostPath"`
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(manifestOf(t, p, "k8s", ManifestOptions{Shards: 3, Image: "registry/alps"})), &job))
	require.Equal(t, 3, job.Spec.Completions)
	require.Equal(t, 3, job.Spec.Parallelism)
	c := job.Spec.Template.Spec.Containers[0]
	require.Equal(t, "registry/alps", c.Image)
	require.Equal(t, []string{"experiments:run", "tails", "-profile=quick", "-kernel=6.1", "-accel=kvm", "-shard=/3", "-results=/claim/shards/$(JOB_COMPLETION_INDEX)"}, c.Args)
	require.Equal(t, map[string]string{"devices.kubevirt.io/kvm": "1"}, c.Resources.Limits)
	require.NoError(t, yaml.Unmarshal([]byte(manifestOf(t, p, "k8s", ManifestOptions{Shards: 3, KVM: "hostpath"})), &job))
	require.Equal(t, "/dev/kvm", job.Spec.Template.Spec.Volumes[2].HostPath.Path)

	script := manifestOf(t, p, "slurm", ManifestOptions{Shards: 2})
	require.Contains(t, script, "#SBATCH --array=1-2\n")
	require.Contains(t, script, `experiments:run tails -profile=quick -kernel=6.1 -accel=kvm -shard=/2 -results="shards/$SLURM_ARRAY_TASK_ID"`)

	var b bytes.Buffer
	require.ErrorContains(t, p.WriteManifest(&b, "xml", nil, ManifestOptions{}), "allowed: text, github, k8s, slurm")
	require.ErrorContains(t, p.WriteManifest(&b, "k8s", nil, ManifestOptions{Shards: 99}), "3 units, which stay whole")
	require.ErrorContains(t, p.WriteManifest(&b, "k8s", nil, ManifestOptions{KVM: "none"}), "allowed: plugin, hostpath")
}
