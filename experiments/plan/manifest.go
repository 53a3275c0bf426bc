// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

//go:embed manifests
var manifestFiles embed.FS

var (
	manifests = template.Must(template.ParseFS(manifestFiles, "manifests/*"))
	// templates are the files of manifests, by format.
	templates = map[string]string{"github": "github.yaml.tmpl", "k8s": "k8s.yaml.tmpl", "slurm": "slurm.sh.tmpl"}
)

// ManifestOptions say how a manifest divides a plan and what its hosts have.
type ManifestOptions struct {
	Shards int    // 0: one per unit of the plan, up to 8
	Image  string // of k8s: a container image with Go and a checkout in /alps; "" leaves its name to be filled in
	KVM    string // of k8s: where /dev/kvm comes from, a device plugin ("plugin", or "") or the host's path ("hostpath")
}

// manifest is the data of the templates.
type manifest struct {
	ManifestOptions
	Plan     Plan
	JobName  string
	Args     []string // of go run mage.go
	Expected string

	LimitMinutes, DiskGiB int
}

// Command is Args as a shell reads them; none of them needs quoting.
func (m manifest) Command() string { return strings.Join(m.Args, " ") }

// List are the shards.
func (m manifest) List() (list []Shard) {
	for i := range m.Shards {
		list = append(list, Shard{i + 1, m.Shards})
	}
	return list
}

// WriteManifest prints a file that has other hosts run the plan in shards: a GitHub
// Actions workflow (format github), a Kubernetes Indexed Job (k8s) or a Slurm array
// script (slurm). args are experiments:run's, without shard and results. Another
// format, more shards than units and another KVM are errors.
func (p Plan) WriteManifest(w io.Writer, format string, args []string, o ManifestOptions) error {
	name, ok := templates[format]
	if !ok {
		return fmt.Errorf("format %q: allowed: text, github, k8s, slurm", format)
	}
	if o.Shards == 0 {
		o.Shards = min(p.Units, 8)
	}
	if o.Shards < 1 || o.Shards > p.Units {
		return fmt.Errorf("%d shards: the plan has %d units, which stay whole", o.Shards, p.Units)
	}
	o.KVM = cmp.Or(o.KVM, "plugin")
	if !slices.Contains([]string{"plugin", "hostpath"}, o.KVM) {
		return fmt.Errorf("kvm %q: allowed: plugin, hostpath", o.KVM)
	}
	o.Image = cmp.Or(o.Image, "IMAGE")
	m := manifest{ManifestOptions: o, Plan: p, Args: append([]string{"experiments:run"}, args...), JobName: "alps-" + p.Name}
	longest := p.Expected(o.Shards)
	m.Expected = progress.Round(longest)
	// A shard may take twice as long as expected. A host that has no kernel yet builds
	// one: the 60 minutes below.
	m.LimitMinutes = int(math.Ceil((2*longest + 10*time.Minute).Minutes()))
	m.DiskGiB = 1 + int(p.Bytes()>>30)
	if p.Guests() {
		m.LimitMinutes += 60
		m.DiskGiB += cacheGiB + buildGiB + p.snapshotsGiB()
	}
	return manifests.ExecuteTemplate(w, name, m)
}

// RunArgs are the arguments of experiments:run for the plan, without shard and results.
func (p Plan) RunArgs(kernel string) []string {
	args := []string{p.Name}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	for _, a := range [][2]string{{"engine", p.Engine}, {"profile", p.Profile.Name.V}, {"kernel", kernel}, {"accel", string(p.asked.accel)},
		{"cpus", number(p.asked.cpus)}, {"jobs", number(p.asked.jobs)}} {
		if a[1] != "" && a[1] != string(vm.Auto) {
			args = append(args, "-"+a[0]+"="+a[1])
		}
	}
	return args
}
