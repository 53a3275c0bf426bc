// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/paper"
)

// Figure says what a figure of the paper, or one beyond it, shows. A row of
// panels is drawn per workload and load.
type Figure struct {
	Name, Title string
	Kind        Kind
	columns     []column
	only        []string // series that are shown; all if it is empty
	flat        bool     // all panels in one row
	tail        float64  // from this share (0 to 1) on an inset shows the curves again; 0: no inset
	Note        string   // for the reader
}

// Kind is how a figure shows its series.
type Kind int

const (
	cdfs Kind = iota
	violins
	boxes
	barRows
	CodeOnly // no runs: the code's architecture
	Relative // means as multiples of EEVDF's or CFS's
)

// column is a column of panels, which have a lane for every series, measure and group. At most one of measures
// and groups has several: the lanes are named by it.
type column struct {
	title    string
	measures []string
	groups   []string
}

// turnaroundOf is the column of a group's turnarounds.
func turnaroundOf(group string) column {
	return column{group, []string{dataset.Turnaround}, []string{group}}
}

// spreadOf is the column of how far the rounds' means of a group lie from the mean of all rounds.
func spreadOf(group string) column {
	return column{group + ": mean of a round", []string{dataset.Spread}, []string{group}}
}

var (
	perGroup = []column{turnaroundOf("G1"), turnaroundOf("G2"), turnaroundOf("G3"), turnaroundOf("G4")}
	whole    = []column{{"turnaround", []string{dataset.Turnaround}, []string{results.All}}}
	orders   = "alps serves by rank, with a bounded wait, as the text has it; " + paper.Artifact + " first come, first served, as the published comparison amounts to."
	plotted  = PlottedSFS + " "
	little   = "At this load hardly anything waits in the simulation, and the parameter changes little; the differences in the paper are about as large as those between two of its own plots of the same setting."
)

// PlottedSFS is in the note of every figure whose simulated sfs has other parameters than the measured one: its YAML
// gives it gaps and the order off.
const PlottedSFS = "sfs is two schedulers: simulated, the one that the paper's plots fit, with slices of a fifth of the mean gap and no order; measured, SFS as it was published."

// Catalog is every figure of the report, in order. Tables (dataset.Grids) and the heat map of package never are apart.
var Catalog = []Figure{
	{Name: "fig01", Title: "Turnaround, and on-CPU segments", Kind: cdfs,
		columns: []column{whole[0], {"on-CPU segments", []string{dataset.Segments}, []string{results.All}}}, Note: PlottedSFS},
	{Name: "fig02", Title: "SRPT when CPU times are estimates", Kind: cdfs, columns: whole,
		Note: "srpt-eb: estimates off by up to half; random: all of them random; random40: 40 % of them. " + PlottedSFS},
	{Name: "fig03", Title: "On-CPU segments under SRPT per group of functions", Kind: violins,
		columns: []column{{"on-CPU segments", []string{dataset.Segments}, results.Groups}}, only: []string{"srpt"}},
	{Name: "fig04", Title: "Architecture", Kind: CodeOnly,
		Note: "Drawn from the imports of the packages, the BPF objects and the kernel patches. An arrow goes from a package to one that it imports; an import that follows from a chain of others has none. In grey, what is in the kernel: BPF maps, the programs that use them, and the hooks, tracepoints and operations that these are attached to, with the patch series that add a hook."},
	{Name: "fig05", Title: "Turnaround per group at three loads", Kind: cdfs, columns: perGroup, Note: plotted + orders},
	{Name: "fig06", Title: "Turnaround per group at 90 % load", Kind: barRows, columns: perGroup, Note: plotted + orders},
	{Name: "fig07", Title: "Lost CPUs per invocation", Kind: violins, flat: true,
		columns: []column{{"context switches per invocation", []string{dataset.Switches}, []string{results.All}}}, Note: plotted + orders},
	{Name: "fig08", Title: "Turnaround saved by ALPS against CFS, per invocation", Kind: boxes, flat: true, only: []string{"alps", paper.Artifact},
		columns: []column{{"saved, %", []string{dataset.Saved, dataset.SavedFixed, dataset.SavedRandom}, []string{results.All}}},
		Note:    "saved: the function alone; +11ms: a platform's time added to both sides; +1..10ms: a random one. " + orders},
	{Name: "fig09", Title: "Either fine-tuning, both and none", Kind: cdfs, columns: whole, tail: 0.95, Note: little},
	{Name: "fig10", Title: "Learners", Kind: cdfs, columns: whole, Note: little},
	{Name: "fig11", Title: "Sliding window", Kind: cdfs, columns: whole, Note: little},
	{Name: "fig12", Title: "Parameter alpha", Kind: cdfs, columns: whole, Note: little},
	{Name: "fig13", Title: "Parameter beta", Kind: cdfs, columns: whole, Note: little},
	{Name: "fig14", Title: "Parameter gamma", Kind: cdfs, columns: whole, Note: little},
	{Name: "fig15", Title: "ALPS in the kernel and through ghOSt", Kind: cdfs, columns: whole,
		Note: "The ghOSt series are simulated with the published costs of an agent's decision. In a guest it is not ghOSt, whose kernel is another, but the same delegation of every decision to user space, by sched_ext. The trace says nothing of CPU times, and no load makes the four plotted curves fit."},
	{Name: "deployment", Title: "Fig 6 in the paper's deployment", Kind: barRows, columns: perGroup,
		Note: "Worker, Docker and functions share the functions' CPUs, and requests come as the artifact's client sends them. What the paper's platform needs more per request than ours is modelled: CPU time that the container uses before the process begins. " + orders},
	{Name: paper.Headline, Title: "Fig 6 on the paper's 24 CPUs, in its deployment", Kind: barRows, columns: perGroup,
		Note: "As deployment, on as many CPUs as the paper's functions had. A run takes about 40 minutes of a CPU, so rounds are few: of one, an interval is over the blocks of that run. " + plotted + orders},
	{Name: paper.Orders, Title: "Beyond the paper: orders of ALPS beside its plotted ALPS", Kind: barRows, columns: perGroup,
		Note: "fifo: first come, first served between functions, which is what the published comparison amounts to; strict and bounded: by rank, as the text has it. The series alps is bounded, and alps-artifact is fifo; like-artifact is fifo with the parameters of the published code."},
	{Name: "tails", Title: "Beyond the paper: the tail of the short functions on one core", Kind: barRows, columns: perGroup,
		Note: "alps ranks by waiting time, as the text has it; alps-slice by the learnt slice; alps-cap lets no slice be above 100 ms; alps-tail does both."},
	{Name: "eevdf", Title: "Beyond the paper: CFS, EEVDF and ALPS", Kind: barRows, columns: perGroup,
		Note: "EEVDF took the place of CFS in Linux 6.6. Measured, it ran on another kernel than the others, so kernels are compared, too."},
	{Name: "peers", Title: "Beyond the paper: other schedulers, against EEVDF", Kind: Relative,
		Note: "A bar is a scheduler's mean as a multiple of EEVDF's, or of CFS's where EEVDF did not run: to the left it is shorter. The line is the interval. scx schedulers come by sched_ext."},
	{Name: "steady", Title: "Beyond the paper: steady in guests, against EEVDF", Kind: Relative,
		Note: "A bar is a scheduler's mean as a multiple of EEVDF's, which ran on another kernel, or of CFS's: to the left it is shorter. Five workloads, three loads, and guests of several sizes."},
	{Name: "starvation", Title: "Beyond the paper: a long function beside a stream of short ones, one core", Kind: barRows,
		columns: []column{turnaroundOf("G1"), turnaroundOf("G4")},
		Note:    "Simulated: the step bounds the wait for a time slice, not that of an invocation that needs several; at 110 % any step lets a long one wait about as long as strict does. And not only the long ones: an invocation that lost the CPU half-way goes on behind those of its own function that come later, for they begin with less virtual time and a slice lets them through in one on-CPU segment. Single short ones waited for minutes so, longer than under CFS."},
	{Name: "overhead", Title: "Beyond the paper: one function, and nothing to gain", Kind: barRows,
		columns: []column{whole[0], {"CPU time", []string{dataset.CPUTime}, []string{results.All}}},
		Note:    "The simulated hooks take no time: at 50 %, where an invocation is nearly always alone, nothing differs. At 90 % ALPS gains even here: a slice as long as an invocation makes a queue of what CFS lets share the CPU, and its switches cost CPU time."},
	{Name: "burst", Title: "Beyond the paper: half a load, one and a half for some seconds, half again", Kind: barRows, columns: perGroup,
		Note: "Simulated: under CFS and SFS the short functions hardly notice the step, and the long ones wait until it is worked off. First come, first served (alps-artifact) shares the wait: about a quarter of their mean under CFS, and a longer tail of the short ones. By rank (alps) the mean is nearly that of CFS, and now and then a short function, badly ranked, waits for seconds."},
	{Name: "mispredict", Title: "Beyond the paper: two functions drift away from what was learnt", Kind: barRows, columns: perGroup,
		Note: "Simulated: a window after the drift all is learnt anew, and until then it costs little: with the drift the means are between 2 % lower (alps) and 5 % higher (cfs) than without, less than rounds differ from each other. alps-none has no fine-tuning."},
	{Name: "repeat", Title: "Beyond the paper: run-to-run spread", Kind: boxes,
		columns: []column{spreadOf(results.All), spreadOf("G1"), spreadOf("G4")},
		Note:    "A box is made of the means of single rounds, each against the mean of all of them. Simulated: 5 rounds, within 20 % over all invocations, under ALPS within 46 %, and within 29 % in G4, the hundredth of all that is longest. Differences between two runs of that size are chance. " + PlottedSFS},
}
