// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/alps/cost"
	"github.com/ds2-lab/alps/experiments/config"
	"github.com/ds2-lab/alps/experiments/guest"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/simulate"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/vm"
)

// costTable is the experiment whose results HookCosts writes.
const costTable = "table3"

// HookCosts measures the cost of the hooks in guests: a context switch of the kernel
// called stock, one of the kernel in o while nothing is attached to its hooks, and
// one while programs are. Without KVM the guests are in virtual time, where the
// clock counts instructions. The time of the hooks' programs is also measured
// natively, on this host. HookCosts writes all of it to w as text, and as a table into
// the results directory dir.
func HookCosts(ctx context.Context, stock string, o guest.Options, dir string, w io.Writer) error {
	unlock, err := results.Lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	var plain [2]cost.Switches
	var phases []cost.Phase
	run := results.Run{Key: costTable, Engine: results.EngineHost, Errors: []string{}}
	unit := "ns"
	for i, name := range []string{stock, o.Kernel} {
		o.Kernel = name
		a, err := guest.Prepare(ctx, o)
		if err != nil {
			return err
		}
		if a, err = a.InVirtualTime(ctx); err != nil {
			return err
		}
		cfg := a.VMConfig()
		cfg.CPUs = 1
		if cfg.Accel == vm.VTime {
			unit = "instructions"
		}
		m, err := vm.Start(ctx, cfg)
		if err != nil {
			return err
		}
		defer m.Close()
		// Wait until the system has nothing left to start.
		out, err := m.Output(ctx, "systemctl is-system-running --wait >/dev/null || true; alps bench switch")
		if err != nil {
			return err
		}
		s := &plain[i]
		if _, err := fmt.Sscanf(out, "syscall_ns=%d round_ns=%d switch_ns=%d", &s.Syscall, &s.Round, &s.Switch); err != nil {
			return fmt.Errorf("alps bench switch: %q: %w", out, err)
		}
		fmt.Fprintf(w, "%s: system call %d, pipe there and back %d, context switch %d %s\n", a.Kernel.Release, s.Syscall, s.Round, s.Switch, unit)
		if i == 0 {
			m.Close() // one guest at a time
			continue
		}
		if out, err = m.Output(ctx, "alps bench backend -json"); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), &phases); err != nil {
			return fmt.Errorf("alps bench backend: %w", err)
		}
		run.Kernel, run.KernelName, run.ConfigDigest, run.Accelerator, run.CPUs = a.Kernel.Release, a.Kernel.Name, a.Kernel.ConfigDigest, string(cfg.Accel), cfg.CPUs
		run.ImageDigest, run.Revision = a.Image.Digest, a.Revision
	}
	fmt.Fprintf(w, "detached, the hooks add %+.2f %% to a pipe there and back\n\n", 100*(float64(plain[1].Round)/float64(plain[0].Round)-1))
	if err := cost.Report(w, phases); err != nil {
		return err
	}
	native, err := nativeHooks(ctx, o.Root)
	if err != nil {
		return err
	}
	for _, hook := range slices.Sorted(maps.Keys(native)) {
		fmt.Fprintf(w, "natively, on this host: %s %g ns\n", hook, native[hook])
	}
	run.Parameters = map[string]any{"measure": config.MeasureHooks, "cpu": simulate.CPUModel(), "go": runtime.Version()}
	run.Judge()
	table, err := costRows(unit, plain, phases, native)
	if err != nil {
		return err
	}
	if err := results.Write(results.Dir(dir, results.EngineSim, run.Key), results.Result{Run: run, Table: table}); err != nil {
		return err
	}
	return results.WritePlan(dir, results.EngineSim, costTable, []results.Series{{Name: costTable, Key: run.Key}})
}

// Units of the table, beside that of the guest's clock.
const (
	perSwitch = "calls per switch"
	onHost    = "ns on this host"
)

// costRows makes a table of the measurements. unit is that of the guest's clock, plain
// is of the stock kernel and of the one with hooks, phases are by cost.Detached and so
// on, and native is by hook and case, in ns.
func costRows(unit string, plain [2]cost.Switches, phases []cost.Phase, native map[string]float64) (*results.Table, error) {
	t := &results.Table{Columns: []string{"what", "in", "value"}}
	add := func(what, in string, v float64) {
		t.Rows = append(t.Rows, []string{what, in, strconv.FormatFloat(v, 'f', -1, 64)})
	}
	inGuest := unit + " in the guest"
	add("system call", inGuest, float64(plain[1].Syscall))
	add("context switch, stock kernel", inGuest, float64(plain[0].Switch))
	for i, state := range []string{"hooks not asked", "hooks asked, no entry", "hooks asked, entry", "and observed", "steady, and observed"} {
		add("context switch, "+state, inGuest, float64(phases[i].Switch))
	}
	together, togetherNative := 0.0, 0.0
	none, entry := phases[cost.NoEntry], phases[cost.WithEntry]
	for i, p := range entry.Programs {
		if !p.Hook {
			continue
		}
		without, with, per := p.Name+", no entry", p.Name+", entry", entry.PerSwitch(i)
		add(without, inGuest, float64(none.Programs[i].Mean()))
		add(without, perSwitch, none.PerSwitch(i))
		add(with, inGuest, float64(p.Mean()))
		add(with, perSwitch, per)
		together += float64(p.Mean()) * per
		if len(native) > 0 {
			hook := strings.TrimSuffix(p.Name, " hook")
			noEntry, ok := native[hook+"/function"]
			withEntry, too := native[hook+"/entry"]
			if !ok || !too {
				return nil, fmt.Errorf("hooks natively: BenchmarkHooks says nothing of the %s", p.Name)
			}
			add(without, onHost, noEntry)
			add(with, onHost, withEntry)
			togetherNative += withEntry * per
		}
	}
	add("both hooks, per decision", inGuest, together)
	add("both hooks, per decision under steady", inGuest, phases[cost.Steady].Decision())
	if len(native) > 0 {
		add("both hooks, per decision", onHost, togetherNative)
	}
	return t, nil
}

// benchLine is a line that BenchmarkHooks prints: hook and case, and ns per call.
var benchLine = regexp.MustCompile(`(?m)^BenchmarkHooks/(\w+/\w+)-?\d*\s.*\s([0-9.]+) ns/call`)

// nativeHooks measures the hooks' programs by themselves on this host: ns per call, by
// hook and case. The map is empty where this process may not load BPF.
func nativeHooks(ctx context.Context, root string) (map[string]float64, error) {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"go", "test", "-run=^$", "-bench=BenchmarkHooks", "./bpf"}, Dir: root})
	if err != nil {
		return nil, fmt.Errorf("hooks natively: %w", err)
	}
	return parseHooks(string(out))
}

func parseHooks(out string) (map[string]float64, error) {
	native := map[string]float64{}
	for _, m := range benchLine.FindAllStringSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, fmt.Errorf("hooks natively: %w", err)
		}
		native[m[1]] = ns
	}
	return native, nil
}
