// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/format"
)

// Setup is what all runs of an engine ran on, for the page's first screen.
type Setup struct {
	Engine string
	Lines  []string
}

// Setups says of every engine how many runs there are, on what, and from when.
func Setups(all []results.Result) ([]Setup, error) {
	var out []Setup
	for _, engine := range []string{results.EngineVM, results.EngineSim, results.EngineHost} {
		of := slices.DeleteFunc(slices.Clone(all), func(r results.Result) bool { return r.Run.Engine != engine })
		if len(of) == 0 {
			if engine == results.EngineVM {
				out = append(out, Setup{engine, []string{"Nothing yet."}})
			}
			continue
		}
		when, err := writtenWhen(of)
		if err != nil {
			return nil, err
		}
		s := Setup{Engine: engine}
		switch engine {
		case results.EngineVM:
			s.Lines = append(s.Lines, runsOf(of)+", written "+when, machineOf(of))
		case results.EngineSim:
			cores := Distinct(of, func(r results.Result) string { return format.Plural(r.Run.CPUs, "core") })
			s.Lines = append(s.Lines, fmt.Sprintf("%s on %s, written %s", runsOf(of), strings.Join(cores, ", "), when))
		case results.EngineHost:
			cpus := Distinct(of, func(r results.Result) string { cpu, _ := r.Run.Parameters["cpu"].(string); return cpu })
			s.Lines = append(s.Lines, fmt.Sprintf("%s, written %s, on %s", format.Plural(len(of), "table"), when,
				strings.Join(slices.DeleteFunc(cpus, func(c string) bool { return c == "" }), ", ")))
		}
		out = append(out, s)
	}
	return out, nil
}

// OtherKernel warns of runs on a kernel that was not asked for; nothing if there are none.
func OtherKernel(all []results.Result) string {
	for _, r := range all {
		if r.Run.KernelFallback {
			return fmt.Sprintf("What was measured ran on kernel %s, not the paper's 5.18-rc5: its source could not be had on this host.", r.Run.Kernel)
		}
	}
	return ""
}

// runsOf counts runs, and among them those that are not valid and those that were computed.
func runsOf(of []results.Result) string {
	computed, invalid := 0, 0
	for _, r := range of {
		if _, ok := r.Run.Parameters["on"]; ok {
			computed++
		} else if !r.Run.Valid {
			invalid++
		}
	}
	text := format.Plural(len(of)-computed, "run")
	if invalid > 0 {
		text += fmt.Sprintf(", %d of them not valid and not drawn", invalid)
	}
	if computed > 0 {
		text += fmt.Sprintf(", and %d computed on them", computed)
	}
	return text
}

// machineOf is what measured runs ran on.
func machineOf(of []results.Result) string {
	list := func(property func(results.Run) string) string {
		return strings.Join(Distinct(of, func(r results.Result) string { return property(r.Run) }), ", ")
	}
	parts := []string{
		"kernel " + list(func(r results.Run) string { return r.Kernel }),
		list(func(r results.Run) string {
			if r.Accelerator == "vtime" || r.Accelerator == "icount" { // results from before 2026-12, of one CPU, say icount
				return "QEMU in virtual time (each CPU's clock counts its instructions)"
			}
			return "QEMU with " + r.Accelerator
		}),
		list(func(r results.Run) string {
			return fmt.Sprintf("%d of %s for the functions", r.FunctionCPUs, format.Plural(r.CPUs, "CPU"))
		}),
		"profile " + list(func(r results.Run) string { return r.Profile }),
		"code " + list(func(r results.Run) string { return r.Revision }),
	}
	// Runs from another host or, in virtual time, another snapshot have other costs.
	costs := Distinct(of, func(r results.Result) string { text, _ := json.Marshal(r.Run.Parameters["costs"]); return string(text) })
	costs = slices.DeleteFunc(costs, func(text string) bool { return text == "null" })
	if len(costs) > 0 {
		parts = append(parts, "functions' costs from "+format.Plural(len(costs), "calibration"))
	}
	return strings.Join(parts, "; ")
}

// writtenWhen is from when to when, in UTC, the results were written.
func writtenWhen(of []results.Result) (string, error) {
	var first, last time.Time
	for _, r := range of {
		at, err := r.Written()
		if err != nil {
			return "", fmt.Errorf("figures: %w", err)
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	first, last = first.UTC(), last.UTC()
	const day, clock = "2006-01-02", "15:04"
	switch {
	case first.Truncate(time.Minute).Equal(last.Truncate(time.Minute)):
		return last.Format(day+" "+clock) + " UTC", nil
	case first.Format(day) == last.Format(day):
		return first.Format(day+" "+clock) + " to " + last.Format(clock) + " UTC", nil
	}
	return first.Format(day+" "+clock) + " to " + last.Format(day+" "+clock) + " UTC", nil
}
