// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
	"github.com/ds2-lab/alps/bpf"
)

// Phase is one state of the hooks: what a switch costs then, and what the
// programs that run in it do.
type Phase struct {
	State string
	Switches
	Programs []bpf.Program
}

// PerSwitch is how often the i-th of Programs is called at a switch.
func (p Phase) PerSwitch(i int) float64 { return float64(p.Programs[i].Calls) / float64(p.Count) }

// perDecision is what the i-th of Programs costs at a switch, ns.
func (p Phase) perDecision(i int) float64 { return float64(p.Programs[i].Mean()) * p.PerSwitch(i) }

// Decision is what the hooks' programs together cost at a switch, ns.
func (p Phase) Decision() (ns float64) {
	for i, x := range p.Programs {
		if x.Hook {
			ns += p.perDecision(i)
		}
	}
	return ns
}

// States of the hooks, in the order of Backend's phases.
const (
	Detached = iota
	NoEntry
	WithEntry
	Observed
	Steady // and observed, in place of entries by rank
)

// steadyEntry is that of a function whose invocations differ widely.
func steadyEntry() (bpf.Entry, error) {
	p := policy.DefaultSteady()
	s, err := policy.NewSteady(p)
	if err != nil {
		return bpf.Entry{}, err
	}
	for cpu := time.Millisecond; cpu < time.Minute; cpu = cpu * 3 / 2 {
		s.Record("f", cpu)
	}
	s.Update()
	return bpf.Entry{Steady: model.NewSteady(&p, s.Table("f"))}, nil
}

// Backend measures what the hooks cost on this kernel, n rounds per state (Bench.Run).
func Backend(n int) ([]Phase, error) {
	be, err := bpf.Load(bpf.Options{})
	if err != nil {
		return nil, err
	}
	defer be.Close()
	if err := be.CheckHooks(); err != nil {
		return nil, err
	}
	b, err := NewBench()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var functions []bpf.Function
	entries := map[bpf.CgroupID]bpf.Entry{}
	for _, dir := range b.Groups {
		id, err := bpf.CgroupOf(dir)
		if err != nil {
			return nil, err
		}
		functions = append(functions, bpf.Function{ID: id, Cgroup: dir})
		entries[id] = bpf.Entry{BiasUS: 1000, SliceUS: 100_000}
	}
	nothing := func() error { return nil }
	steps := []step{
		{"nothing attached", nothing},
		{"attached, no entry", be.AttachHooks},
		{"attached, entry", func() error {
			if err := be.SetFunctions(functions); err != nil {
				return err
			}
			if err := be.SetPolicy(entries); err != nil {
				return err
			}
			return be.KeepAlive(time.Hour)
		}},
		{"and observed", be.AttachObserver},
		{"steady, and observed", func() error {
			steady, err := steadyEntry()
			if err != nil {
				return err
			}
			for id := range entries {
				entries[id] = steady
			}
			return be.SetPolicy(entries)
		}},
	}
	return b.phases(be, steps, n)
}

// step leads to the next phase.
type step struct {
	state string
	do    func() error
}

// phases measures after each step, n rounds.
func (b *Bench) phases(be *bpf.Backend, steps []step, n int) (phases []Phase, err error) {
	for _, s := range steps {
		if err := s.do(); err != nil {
			return nil, err
		}
		p := Phase{State: s.state}
		if p.Switches, err = b.Run(n); err != nil {
			return nil, err
		}
		// Counting costs time itself, so it has a run of its own.
		if p.Programs, err = be.Measure(func() error { _, err := b.Run(n); return err }); err != nil {
			return nil, err
		}
		phases = append(phases, p)
	}
	return phases, nil
}

// Report writes the phases of Backend, then what each program costs without an entry,
// with one, and under steady, and the paper's Table 3 below.
func Report(w io.Writer, phases []Phase) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "ns (instructions in virtual time)\tsystem call\tpipe, there and back\tcontext switch\tmore than with nothing\t")
	for _, p := range phases {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t\n", p.State, p.Syscall, p.Round, p.Switch, p.Switch-phases[Detached].Switch)
	}
	fmt.Fprintln(tw)
	fmt.Fprintln(tw, "program\tJITed bytes\tns per call, no entry\tentry\tsteady\tcalls per switch, no entry\tentry\tsteady\t")
	none, entry, steady := phases[NoEntry], phases[WithEntry], phases[Steady]
	for i, p := range entry.Programs {
		if p.Calls == 0 && phases[Observed].Programs[i].Calls == 0 {
			continue
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%.2f\t%.2f\t%.2f\t\n", p.Name, p.JITed, none.Programs[i].Mean(), p.Mean(), steady.Programs[i].Mean(),
			none.PerSwitch(i), entry.PerSwitch(i), steady.PerSwitch(i))
	}
	fmt.Fprintf(tw, "hooks together, per switch\t\t\t%.0f\t%.0f\t\t\t\t\n", entry.Decision(), steady.Decision())
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, `
The paper's Table 3, ns on its machine: task ordering hook 66 (0.46 calls per decision),
time slice hook 125 (1 call per decision), ALPS overall 155 per decision; system call 459,
context switch of CFS 3,512; ghOSt, local scheduling 1,613.
`)
	return err
}
