package runner

import (
	"context"
	"fmt"
	"io"

	"github.com/ds2-lab/alps/vm"
)

// Cost measures in guests what the hooks cost: a context switch of the kernel
// called stock against one of the kernel in o while nothing is attached, then
// what is asked when something is. Without KVM in virtual time, where the clock
// counts instructions.
func Cost(ctx context.Context, stock string, o RigOptions, w io.Writer) error {
	type figures struct{ syscall, round, change int }
	var of [2]figures
	for i, name := range []string{stock, o.Kernel} {
		o.Kernel = name
		p, err := Prepare(ctx, o)
		if err != nil {
			return err
		}
		cfg := p.VMConfig()
		cfg.CPUs = 1
		unit := "ns"
		if cfg.Accel == vm.TCG {
			cfg.Accel, unit = vm.ICount, "instructions"
		}
		m, err := vm.Start(ctx, cfg)
		if err != nil {
			return err
		}
		defer m.Close()
		// Until the system has nothing left to start.
		out, err := m.Output(ctx, "systemctl is-system-running --wait >/dev/null || true; alps bench switch")
		if err != nil {
			return err
		}
		f := &of[i]
		if _, err := fmt.Sscanf(out, "syscall_ns=%d round_ns=%d switch_ns=%d", &f.syscall, &f.round, &f.change); err != nil {
			return fmt.Errorf("alps bench switch: %q: %w", out, err)
		}
		fmt.Fprintf(w, "%s: system call %d, pipe there and back %d, context switch %d %s\n", p.Kernel.Release, f.syscall, f.round, f.change, unit)
		if i == 0 {
			m.Close() // one guest at a time
			continue
		}
		fmt.Fprintf(w, "detached, the hooks add %+.2f %% to a pipe there and back\n\n", 100*(float64(of[1].round)/float64(of[0].round)-1))
		if err := m.Run(ctx, vm.Cmd{Line: "alps bench backend", Stdout: w}); err != nil {
			return err
		}
	}
	return nil
}
