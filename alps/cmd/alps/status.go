// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/internal/cli"
)

// runStatus prints what the daemon believes.
func runStatus(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fs := cli.NewFlags("alps status", stderr, "[-json]", "Prints what the daemon believes: functions, ranks, slices.")
	socket := fs.String("socket", "", "the daemon's `socket`")
	asJSON := fs.Bool("json", false, "print JSON")
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := client.New(*socket).Status(ctx)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	if *asJSON {
		return printJSON(stdout, stderr, s)
	}
	order := ""
	if s.Mode.Order != "" {
		order = fmt.Sprintf("  order %s  step %s", s.Mode.Order, s.Mode.Step)
	}
	fmt.Fprintf(stdout, "policy %s%s  backend %s  attached %t  update %d  load %.0f %%  window %d records  last update took %s\n",
		s.Mode.Policy, order, s.Backend, s.Attached, s.Generation, s.LoadPct, s.Records, time.Duration(s.UpdateNS))
	if s.BackendWhy != "" {
		fmt.Fprintf(stdout, "backend %s because: %s\n", s.Backend, s.BackendWhy)
	}
	fmt.Fprintf(stdout, "lost: %d invocations, %d tasks, %d slices, %d for slow readers; %d tasks outlived their invocation\n",
		s.Lost.Invocations, s.Lost.Tasks, s.Lost.Slices, s.Lost.Stream, s.Lost.Orphans)
	fmt.Fprintf(stdout, "real-time classes may use %d of every %d µs\n", s.RTRuntimeUS, s.RTPeriodUS)
	for _, x := range s.Stats {
		fmt.Fprintf(stdout, "%s %d  ", x.Name, x.Value)
	}
	if len(s.Stats) > 0 {
		fmt.Fprintln(stdout)
	}
	if s.LastError != "" {
		fmt.Fprintln(stdout, "last error:", s.LastError)
	}
	if s.Tables != nil {
		if err := printTables(stdout, s.Tables); err != nil {
			return cli.Fail(stderr, err)
		}
		return printSteering(stdout, stderr, s)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "uid\trank\tslice\tmean wait\tmean slice\tmean CPU\tinvocations\tage\t")
	for _, d := range s.Decisions {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t\n", d.UID, d.Rank, ms(d.Slice), ms(d.MeanWait), ms(d.MeanSlice), ms(d.MeanCPU), d.Invocations, d.Age)
	}
	if err := w.Flush(); err != nil {
		return cli.Fail(stderr, err)
	}
	return printSteering(stdout, stderr, s)
}

// printTables prints what the policy steady has learnt: of an invocation that
// begins, by function.
func printTables(stdout io.Writer, tables []client.Table) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "uid\tindex\tbias\tquantum\tlongest\tinvocations\t")
	for _, t := range tables {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t\n", t.UID, ms(t.IndexNS), t.BiasNS, ms(t.QuantumNS), ms(t.LongestNS), t.Records)
	}
	return w.Flush()
}

// printSteering prints whom ALPS steers, and what keeps it from the others.
func printSteering(stdout, stderr io.Writer, s client.Status) int {
	for _, u := range s.Usage {
		fmt.Fprintf(stdout, "%s %d of %d  ", u.Map, u.Used, u.Size)
	}
	if len(s.Usage) > 0 {
		fmt.Fprintln(stdout)
	}
	for _, p := range s.Problems {
		who, state := "all functions", "goes on"
		if len(p.Functions) > 0 {
			who = "functions " + strings.Join(p.Functions, ", ")
		}
		if p.EndedNS > 0 {
			state = "over after " + time.Duration(p.EndedNS-p.BeganNS).Round(time.Millisecond).String()
		}
		fmt.Fprintf(stdout, "%s (%s, %s): %s\n", p.What, who, state, p.Why)
	}
	fmt.Fprintf(stdout, "%d functions\n", len(s.Functions))
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, f := range s.Functions {
		fmt.Fprintf(w, "  %s\t%s\t%s\tinvocations: %s\tsteered: %s\n", f.UID, f.Name, f.Cgroup, f.Counted, yesOrWhy(f))
	}
	for _, r := range s.Refused {
		fmt.Fprintf(w, "  %q\t%s\t%s\trefused: %s\n", r.UID, r.Name, r.Cgroup, r.Why)
	}
	if err := w.Flush(); err != nil {
		return cli.Fail(stderr, err)
	}
	return 0
}

func yesOrWhy(f client.FunctionStatus) string {
	if f.Steered {
		return "yes"
	}
	return "no: " + f.Why
}

// runPolicyMap sets the policy, if rules are given, and prints the policy that counts.
func runPolicyMap(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fs := cli.NewFlags("alps policy", stderr, "[-json] [-set FUNCTION=RANK[/SLICE]]…",
		"Prints the policy that counts: with the hooks, read back from the kernel's map; with scx, what the scheduler in charge\n"+
			"was told. One that is no longer valid does not count. Under steady, bias and slice are those of an invocation that\n"+
			"begins; -json has the tables.")
	socket := fs.String("socket", "", "the daemon's `socket`")
	asJSON := fs.Bool("json", false, "print JSON")
	var set rules
	fs.Var(&set, "set", "first make these the policy, which must be manual: a `rule` as fib=1/200ms, the function by uid, or by name if one uid has it; repeat it for every function")
	if code, done := cli.Parse(fs, args); done {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if set != nil {
		if err := client.New(*socket).SetPolicy(ctx, set); err != nil {
			return cli.Fail(stderr, err)
		}
	}
	entries, err := client.New(*socket).Policy(ctx)
	if err != nil {
		return cli.Fail(stderr, err)
	}
	if *asJSON {
		return printJSON(stdout, stderr, entries)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "uid\tfunction\tbias\tslice\tcgroup id\t")
	for _, e := range entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t\n", e.UID, e.Name,
			time.Duration(e.BiasUS)*time.Microsecond, ms(time.Duration(e.SliceUS)*time.Microsecond), e.ID)
	}
	if err := w.Flush(); err != nil {
		return cli.Fail(stderr, err)
	}
	return 0
}

// rules is a flag that may be repeated.
type rules []client.Rule

func (r *rules) String() string { return "" }

func (r *rules) Set(s string) error {
	at := strings.LastIndex(s, "=") // a uid may have one
	uid, rest, ok := s[:max(at, 0)], s[at+1:], at >= 0
	rank, slice, sliced := strings.Cut(rest, "/")
	rule := client.Rule{UID: uid}
	var err error
	if rule.Rank, err = strconv.Atoi(rank); err != nil || !ok || uid == "" {
		return fmt.Errorf("%q: want FUNCTION=RANK or FUNCTION=RANK/SLICE", s)
	}
	if sliced {
		if rule.Slice, err = time.ParseDuration(slice); err != nil {
			return err
		}
	}
	*r = append(*r, rule)
	return nil
}

func printJSON(stdout, stderr io.Writer, v any) int {
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "\t")
	if err := enc.Encode(v); err != nil {
		return cli.Fail(stderr, err)
	}
	return 0
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1fms", float64(d)/1e6) }
