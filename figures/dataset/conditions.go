// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/format"
)

// Conditions are what the runs of a set share, and where they differ.
func (s *Set) Conditions() []string {
	if len(s.Series) == 0 {
		return nil
	}
	var n, rounds, seeds []float64
	for _, x := range s.Series {
		q := x.Result.Run
		n, rounds, seeds = append(n, float64(q.Invocations)), append(rounds, float64(max(q.Round, 1))), append(seeds, float64(q.Seed))
	}
	out := []string{fmt.Sprintf("%s; %s invocations a run, rounds: %.0f, seeds: %s", s.platform(), format.Span(n, 0), slices.Max(rounds), format.Span(seeds, 0))}
	if len(Distinct(rounds, func(r float64) float64 { return r })) == 1 {
		out = append(out, "One round: an interval is over the blocks of that run")
	}
	out = append(out, s.machines()...)
	return append(append(out, s.deployments()...), s.particulars()...)
}

// deployments say of each deployment which programs had which CPUs, how much CPU time the platform used per
// request, and how much of that is modelled; of simulated runs only the modelled time.
func (s *Set) deployments() []string {
	perRequest, modelled, series := map[string][]float64{}, map[string][]float64{}, map[string][]string{}
	names := Distinct(s.Series, deploymentOf)
	for _, x := range s.Series {
		r, d := x.Result.Run, deploymentOf(x)
		perRequest[d] = append(perRequest[d], Milliseconds(r.PlatformPerRequest.Nanoseconds()))
		modelled[d] = append(modelled[d], Milliseconds(r.PlatformModelled.Nanoseconds()))
		series[d] = Distinct(append(series[d], x.Name), func(name string) string { return name })
	}
	var out []string
	for _, d := range names {
		if d == "" {
			continue
		}
		text := "Deployment " + d
		if len(names) > 1 {
			text += " (" + strings.Join(series[d], ", ") + ")"
		}
		text += deploymentText[d]
		if slices.Max(perRequest[d]) > 0 {
			text += fmt.Sprintf("; CPU time of the platform per request: %s ms", format.Span(perRequest[d], 1))
		}
		if slices.Max(modelled[d]) > 0 {
			text += fmt.Sprintf(", of which %s ms are modelled: the containers use them before a process begins", format.Span(modelled[d], 1))
		}
		out = append(out, text)
	}
	if r := s.Series[0].Result.Run; r.Engine == results.EngineSim {
		text, _ := r.Parameters["platform_cpu"].(string)
		if cpu, err := time.ParseDuration(text); err == nil {
			out = append(out, fmt.Sprintf("Modelled platform: %s ms of CPU time per request", format.Fixed(Milliseconds(cpu.Nanoseconds()), 1)))
		}
	}
	return out
}

// deploymentOf is the deployment of a measured run, apart or paper; of a simulated one it is empty.
func deploymentOf(x results.Series) string { return x.Result.Run.Deployment }

// deploymentText says what the deployments of package config mean.
var deploymentText = map[string]string{
	"apart": ": worker, Docker and client have a CPU of their own",
	"paper": ": worker and Docker share the functions' CPUs, as in the paper",
}

// platform is what the runs ran on.
func (s *Set) platform() string {
	r := s.Series[0].Result.Run
	if s.Engine != results.EngineVM {
		if r.Sim == nil {
			return "Simulated"
		}
		return "Simulated, model " + format.Digest(r.Sim.Model)
	}
	for _, x := range s.Series {
		if x.Kernel == "" {
			r = x.Result.Run
		}
	}
	kernel := "kernel " + r.Kernel
	if r.KernelFallback {
		kernel += " (not the paper's 5.18-rc5)"
	}
	return fmt.Sprintf("Measured: %s; %s; image %s; code %s", kernel, r.Accelerator, format.Digest(r.ImageDigest), r.Revision)
}

// machines say how many cores the functions had, and under which loads, asked and achieved.
func (s *Set) machines() []string {
	type machine struct{ cpus, of int }
	at := func(x results.Series) machine { return machine{x.Result.Run.FunctionCPUs, x.Result.Run.CPUs} }
	type condition struct {
		workload string
		load     int
	}
	on := func(x results.Series) condition { return condition{x.Workload, LoadPct(x.Load)} }
	var out []string
	machines := Distinct(s.Series, at)
	for _, m := range machines {
		of := slices.DeleteFunc(slices.Clone(s.Series), func(x results.Series) bool { return at(x) != m })
		text := fmt.Sprintf("%d cores", m.cpus)
		if m.cpus == 1 {
			text = "1 core"
		}
		if m.of != m.cpus {
			text += fmt.Sprintf(" of %d for the functions", m.of)
		}
		if len(machines) > 1 {
			text += " (" + strings.Join(Distinct(of, func(x results.Series) string { return x.Name }), ", ") + ")"
		}
		for _, c := range Distinct(of, on) {
			var asked, achieved []float64
			for _, x := range of {
				if q := x.Result.Run; on(x) == c {
					asked, achieved = append(asked, 100*q.LoadAsked), append(achieved, 100*q.LoadAchieved)
				}
			}
			text += fmt.Sprintf("; %s at %d %%: load asked %s, achieved %s %%", c.workload, c.load, format.Span(asked, 1), format.Span(achieved, 1))
		}
		out = append(out, text)
	}
	return out
}

// particulars are the order in which ALPS served, if all its series have the same, the series that were
// computed, and those with a kernel of their own.
func (s *Set) particulars() []string {
	var out []string
	orders := Distinct(s.Series, func(x results.Series) string {
		order, _ := x.Result.Run.Parameters["order"].(string)
		return order
	})
	orders = slices.DeleteFunc(orders, func(o string) bool { return o == "" })
	if len(orders) == 1 {
		out = append(out, "Order of ALPS: "+orders[0])
	}
	computed, kernels := map[string][]string{}, map[string]string{}
	for _, x := range s.Series {
		if base, ok := s.Base(x); ok && !slices.Contains(computed[base], x.Name) {
			computed[base] = append(computed[base], x.Name)
		}
		if x.Kernel != "" {
			kernels[x.Name] = x.Result.Run.Kernel
		}
	}
	for _, base := range slices.Sorted(maps.Keys(computed)) {
		out = append(out, fmt.Sprintf("Not run but computed, from the arrivals and CPU times measured under %s: %s", base, strings.Join(computed[base], ", ")))
	}
	for _, name := range slices.Sorted(maps.Keys(kernels)) {
		out = append(out, fmt.Sprintf("%s: kernel %s", name, kernels[name]))
	}
	return out
}
