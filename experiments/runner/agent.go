package runner

import (
	"context"
	"fmt"

	"github.com/ds2-lab/alps/vm"
)

// agentCommand is the scheduler in user space.
const agentCommand = "./alps/cmd/alps-ghost"

// withAgent is the parts with that on the tools disk.
func (p Parts) withAgent(ctx context.Context) (Parts, error) {
	p.agent = true
	var err error
	p.Tools, p.ToolsDigest, err = p.buildTools(ctx)
	return p, err
}

// hooksFlag has the daemon attach the hooks, if the kernel has them, or leave
// deciding to the agent.
func (p Parts) hooksFlag() string {
	if p.agent {
		return "-delegated"
	}
	return "-hooks"
}

// startAgent gives the functions to the agent. If it fails, or the kernel takes
// its scheduler out, the guest ends, and its console says why: what runs on would
// be measured under another scheduler.
func (r *Rig) startAgent(ctx context.Context) error {
	err := r.Machine.Run(ctx, vm.Cmd{Line: "systemd-run --quiet --collect --unit=alps-ghost -p Restart=no -p FailureAction=poweroff-immediate" +
		" -p StandardError=journal+console alps-ghost -cpus " + r.Parts.functionCPUs() +
		" && for i in $(seq 50); do grep -qx enabled /sys/kernel/sched_ext/state && exit 0; sleep 0.2; done; exit 1"})
	if err != nil {
		return fmt.Errorf("agent: no scheduler of its own is enabled (console: %s): %w", r.Machine.Console(), err)
	}
	return nil
}
