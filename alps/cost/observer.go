// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/ds2-lab/alps/bpf"
)

// Observer measures what the observer costs on any kernel, n rounds per state:
// without it, with it, with a function elsewhere whose invocations are busy
// periods, and with those of the bench's own cgroups.
func Observer(n int) ([]Phase, error) {
	be, err := bpf.Load(bpf.Options{})
	if err != nil {
		return nil, err
	}
	defer be.Close()
	b, err := NewBench()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	elsewhere := filepath.Join(filepath.Dir(b.Groups[0]), "elsewhere")
	if err := b.make(elsewhere); err != nil {
		return nil, err
	}
	// functions makes the cgroups functions, the first n of them with busy periods.
	functions := func(n int) func() error {
		return func() error {
			var all []bpf.Function
			for i, dir := range append([]string{elsewhere}, b.Groups[:]...) {
				id, err := bpf.CgroupOf(dir)
				if err != nil {
					return err
				}
				f := bpf.Function{ID: id, Cgroup: dir}
				if i < n {
					f.Source = bpf.SourceBusy
				}
				all = append(all, f)
			}
			return be.SetFunctions(all)
		}
	}
	steps := []step{
		{"nothing attached", func() error { return nil }},
		{"observed", func() error {
			if err := functions(0)(); err != nil {
				return err
			}
			return be.AttachObserver()
		}},
		{"busy periods elsewhere", functions(1)},
		{"busy periods", functions(3)},
	}
	return b.phases(be, steps, n)
}

// ReportObserver writes the phases, then what each program costs in each.
func ReportObserver(w io.Writer, phases []Phase) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "ns (instructions in virtual time)\tcontext switch\tmore than with nothing\t")
	for _, p := range phases {
		fmt.Fprintf(tw, "%s\t%d\t%d\t\n", p.State, p.Switch, p.Switch-phases[0].Switch)
	}
	fmt.Fprintln(tw)
	fmt.Fprint(tw, "ns per call × calls per switch\tJITed bytes\t")
	for _, p := range phases[1:] {
		fmt.Fprintf(tw, "%s\t", p.State)
	}
	fmt.Fprintln(tw)
	for i, program := range phases[0].Programs {
		line, called := fmt.Sprintf("%s\t%d\t", program.Name, program.JITed), false
		for _, p := range phases[1:] {
			line += fmt.Sprintf("%d × %.2f\t", p.Programs[i].Mean(), p.PerSwitch(i))
			called = called || p.PerSwitch(i) >= 0.01
		}
		if called {
			fmt.Fprintln(tw, line)
		}
	}
	return tw.Flush()
}
