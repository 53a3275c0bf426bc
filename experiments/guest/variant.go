// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/kernel"
	"github.com/ds2-lab/alps/openlambda/artifact"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/vm"
)

// Variant says in which way a run's guest differs from the usual one. Variants
// are compared by ==.
type Variant struct {
	Kernel  string // in kernels.yaml; "": that of Options
	Worker  string // path of an ol that is not ours; "": ours
	Agent   bool   // a process in user space decides, by sched_ext
	Backend string // of the daemon, of package config; "": the hooks, where the kernel has them
	CPUs    int    // 0: as many as the usual guest has

	Deployment string // of package config; "": apart
}

// PlatformModelled is the part of PlatformTime that is a model: what the paper's
// platform needs more than ours (deployment paper).
func (v Variant) PlatformModelled() time.Duration {
	if v.Deployment == config.AsPaper {
		return platformShare
	}
	return 0
}

// PlatformTime is the CPU time per request that worker, Docker and the functions'
// servers take beside the invocation.
func (v Variant) PlatformTime() time.Duration { return platformTime + v.PlatformModelled() }

// Variant returns the artifacts of another kind of guest, and builds what it needs
// beyond a: its kernel, and its disk of tools if they differ.
func (a Artifacts) Variant(ctx context.Context, v Variant) (Artifacts, error) {
	if v.Kernel != "" {
		var err error
		a.Kernel, err = kernel.Build(ctx, v.Kernel, kernel.Options{Dir: filepath.Join(a.opts.Root, "kernel"), Progress: a.opts.Progress})
		if err != nil {
			return a, err
		}
		a.Fallback = false // the kernel is the one that was asked for
	}
	if v.Deployment == config.Apart {
		v.Deployment = "" // so that this deployment, by whichever name, has one key
	}
	a.CPUs = cmp.Or(v.CPUs, a.CPUs)
	a.variant, a.PlatformModelled = v, v.PlatformModelled()
	if v.Worker == "" && !v.Agent {
		return a, nil
	}
	var err error
	a.Tools, a.ToolsDigest, err = a.buildTools(ctx)
	return a, err
}

// Deployment is the variant's, as keys name it: "" for config.Apart.
func (a Artifacts) Deployment() string { return a.variant.Deployment }

// otherWorker is the path in the guest of an ol that is not ours. Each function has a
// worker of it for itself, as in the artifact.
const otherWorker = "/opt/alps/bin/ol-worker"

// registerWorkers tells the daemon which function each container is, for another ol
// does not label its containers. Their cgroups lie in alps.slice, the parent that the
// guest's Docker gives to all.
func (g *Guest) registerWorkers(ctx context.Context, ports []string) error {
	for _, f := range artifact.Functions {
		if len(ports) > 0 && !slices.Contains(ports, f.Port) {
			continue
		}
		if err := g.VM.Run(ctx, vm.Cmd{Line: registerLine(f.Port, f.UID, f.Name)}); err != nil {
			return fmt.Errorf("register function %s of port %s: %w", f.Name, f.Port, err)
		}
	}
	return nil
}

// registerLine is the shell line that registers a function's container.
func registerLine(port, uid, name string) string {
	return fmt.Sprintf(`id=$(docker ps -q --no-trunc -f label=%s=/run/ol/%s/worker) && [ -n "$id" ] && alps-loadgen register %s %s "/alps.slice/docker-$id.scope"`,
		docker.LabelCluster, port, uid, name)
}

// agentCommand is the package of the scheduler in user space.
const agentCommand = "./alps/cmd/alps-ghost"

// hooksFlag are the daemon's flags about its backend. By default it attaches the hooks
// if the kernel has them, and only observes if not; a variant may name another backend,
// or leave deciding to the agent.
func (a Artifacts) hooksFlag() string {
	switch {
	case a.variant.Agent:
		return "-delegated"
	case a.variant.Backend != "":
		return "-backend=" + a.variant.Backend
	}
	return "-backend=hooks -hooks"
}

// startAgent gives the functions to the agent. If it fails, or the kernel takes
// its scheduler out, the guest ends, and its console says why: else the rest of a run
// would be measured under another scheduler.
func (g *Guest) startAgent(ctx context.Context) error {
	if err := g.VM.Run(ctx, vm.Cmd{Line: g.Artifacts.agentLine()}); err != nil {
		return fmt.Errorf("agent: no scheduler of its own is enabled (console: %s): %w", g.VM.Console(), err)
	}
	return nil
}

// agentLine is the shell line that starts the agent, and fails if its scheduler is not
// enabled within ten seconds.
func (a Artifacts) agentLine() string {
	return "systemd-run --quiet --collect --unit=alps-ghost -p Restart=no -p FailureAction=poweroff-immediate" +
		" -p StandardError=journal+console alps-ghost -cpus " + a.functionCPUs() +
		" && for i in $(seq 50); do grep -qx enabled /sys/kernel/sched_ext/state && exit 0; sleep 0.2; done; exit 1"
}
