// Package runner runs experiments in a guest: it builds what is missing, boots
// once, calibrates the functions, replays the trace under every scheduler in
// interleaved rounds, and writes each run as a result of its own.
//
// A run is named by the digest of everything that makes it. One that is there
// already is kept, so a job that was interrupted goes on by being run again.
package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/spec"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// Options say what to run. Rig.Root is required.
type Options struct {
	Rig     RigOptions
	Profile string // in profiles.yaml; "" is smoke
	Results string // directory; "" is Rig.Root/results
	Parts   *Parts // built before; nil: Run builds them
}

func (o Options) dir() string { return filepath.Join(o.Rig.Root, "experiments") }

func (o Options) results() string {
	if o.Results != "" {
		return o.Results
	}
	return filepath.Join(o.Rig.Root, "results")
}

// run is one step: a scheduler in a round.
type run struct {
	scheduler spec.Scheduler
	mode      alpsclient.Mode
	round     int
	rows      []trace.Row
	key       string
}

type job struct {
	opts    Options
	exp     spec.Experiment
	part    spec.VM
	profile spec.Profile
	classes []trace.Class
	ports   []string
	runs    []run
}

// newJob validates the whole experiment before anything is built.
func newJob(name string, o Options) (*job, error) {
	if o.Profile == "" {
		o.Profile = "smoke"
	}
	exp, err := spec.Load(o.dir(), name)
	if err != nil {
		return nil, err
	}
	profile, err := spec.LoadProfile(o.dir(), o.Profile)
	if err != nil {
		return nil, err
	}
	if exp.VM == nil {
		return nil, fmt.Errorf("%s: no part of it has engine vm: it is simulated (experiments:run -engine=sim %s)", name, name)
	}
	j := &job{opts: o, exp: exp, part: *exp.VM, profile: profile, classes: exp.VM.Mix.TraceClasses()}
	for _, c := range j.classes {
		j.ports = append(j.ports, c.Port)
	}
	j.ports = uniquePorts(j.ports)
	for round := 1; round <= profile.Rounds.V; round++ {
		rows := j.part.Rows(profile, round)
		for i := range j.part.Schedulers {
			// Who goes first changes from round to round.
			s := j.part.Schedulers[(i+round-1)%len(j.part.Schedulers)]
			mode, err := modeOf(s)
			if err != nil {
				return nil, err
			}
			j.runs = append(j.runs, run{scheduler: s, mode: mode, round: round, rows: rows})
		}
	}
	return j, nil
}

func modeOf(s spec.Scheduler) (alpsclient.Mode, error) {
	m := alpsclient.Mode{Policy: s.Policy.V}
	if m.Policy != "alps" {
		return m, nil
	}
	p, err := s.PolicyParams()
	if err != nil {
		return m, err
	}
	m.Order, m.Params = s.Order.V, &p
	if m.Order == "" {
		m.Order = "bounded"
	}
	if s.Step.V > 0 {
		m.Step = s.Step.V.String()
	}
	return m, nil
}

// setKeys names the runs by what makes them.
func (j *job) setKeys(p Parts) error {
	for i := range j.runs {
		r := &j.runs[i]
		mode, err := json.Marshal(r.mode)
		if err != nil {
			return err
		}
		work, err := json.Marshal(struct {
			Classes []trace.Class
			Rows    []trace.Row
			Load    float64
			Factor  float64
			Unit    map[string]int
		}{j.classes, r.rows, j.part.Load.V, j.profile.TimeFactor.V, load.Unit})
		if err != nil {
			return err
		}
		sum, err := digest.New("run/1").Str("kernel", p.Kernel.Key).Str("image", p.Image.Digest).Str("tools", p.ToolsDigest).
			Str("accel", string(p.Accel)).Str("cpus", fmt.Sprint(p.CPUs)).
			Str("mode", string(mode)).Str("work", string(work)).Str("round", fmt.Sprint(r.round)).Sum()
		if err != nil {
			return err
		}
		r.key = fmt.Sprintf("%s-r%d-%s", r.scheduler.Name.V, r.round, sum[:12])
	}
	return nil
}

// Plan prints what Run would do, and starts nothing.
func Plan(name string, o Options, w io.Writer) error {
	j, err := newJob(name, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\nprofile %s: %d invocations, %d rounds, CPU times × %g, load %g\n\n", name, j.exp.Title,
		j.profile.Name.V, j.profile.Invocations.V, j.profile.Rounds.V, j.profile.TimeFactor.V, j.part.Load.V)
	var total time.Duration
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range j.runs {
		span := j.span(r)
		total += span
		fmt.Fprintf(tw, "%d/%d\t%s\tround %d\t%d invocations\tabout %s\n", i+1, len(j.runs), r.scheduler.Name.V, r.round, len(r.rows), progress.Round(span))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	cfg := vm.Config{Kernel: "BZIMAGE", Disk: "DISK.qcow2", Tools: "TOOLS.raw", Accel: vm.TCG}
	args, err := vm.Plan(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nabout %s on one CPU for the functions, without building, booting and calibrating\n\n%s\n", progress.Round(total), strings.Join(args, " "))
	return nil
}

// span is about how long a run takes with one CPU for the functions.
func (j *job) span(r run) time.Duration {
	var work time.Duration
	for _, row := range r.rows {
		work += time.Duration(float64(j.classes[row.Class].CPU) * j.profile.TimeFactor.V)
	}
	return time.Duration(float64(work)/j.part.Load.V) + 5*time.Second
}

// Run runs the experiment called name and returns when every run is there.
func Run(ctx context.Context, name string, o Options) error {
	j, err := newJob(name, o)
	if err != nil {
		return err
	}
	parts := o.Parts
	if parts == nil {
		p, err := Prepare(ctx, o.Rig)
		if err != nil {
			return err
		}
		parts = &p
	}
	with, err := parts.withWorker(ctx, j.part.WorkerPath)
	if err != nil {
		return err
	}
	parts = &with
	if err := j.setKeys(*parts); err != nil {
		return err
	}
	var keys []string
	for _, r := range j.runs {
		keys = append(keys, r.key)
	}
	if err := results.WritePlan(o.results(), name, keys); err != nil {
		return err
	}
	var rig *Rig
	var costs map[string]load.Cost
	defer func() {
		if rig != nil {
			rig.Close()
		}
	}()
	var bad []error
	for i, r := range j.runs {
		dir := filepath.Join(o.results(), name, r.key)
		label := fmt.Sprintf("%s round %d", r.scheduler.Name.V, r.round)
		if old, err := results.Read(dir); err == nil && old.Run.Valid {
			o.Rig.Progress.Step(label, i+1, len(j.runs)).Done("kept")
			continue
		}
		if rig == nil {
			if rig, err = parts.Boot(ctx, j.ports); err != nil {
				return err
			}
			if costs, err = j.calibrate(ctx, rig); err != nil {
				return err
			}
		}
		step := o.Rig.Progress.Step(label, i+1, len(j.runs))
		result, err := j.replay(ctx, rig, costs, r, step)
		if err != nil {
			return fmt.Errorf("%s: %s: %w\n(console: %s)", name, label, err, rig.Machine.Console())
		}
		if err := results.Write(dir, result); err != nil {
			return err
		}
		step.Done(fmt.Sprintf("load %.2f", result.Run.LoadAchieved))
		if !result.Run.Valid {
			bad = append(bad, fmt.Errorf("%s: %s is not valid: %s", name, label, strings.Join(result.Run.Invalid, "; ")))
		}
	}
	return errors.Join(bad...)
}

// requests turns rows into requests for this machine.
func (j *job) requests(r run, costs map[string]load.Cost, cpus int) ([]load.Request, error) {
	demand := make([]time.Duration, len(j.classes))
	rounds := make([]int, len(j.classes))
	for i, c := range j.classes {
		cost, ok := costs[c.Function]
		if !ok {
			return nil, fmt.Errorf("function %s was not calibrated", c.Function)
		}
		rounds[i] = cost.Rounds(time.Duration(float64(c.CPU) * j.profile.TimeFactor.V))
		demand[i] = cost.CPU(rounds[i])
	}
	each := make([]time.Duration, len(r.rows))
	for i, row := range r.rows {
		each[i] = demand[row.Class]
	}
	due := trace.Scale(r.rows, each, j.part.Load.V, cpus)
	reqs := make([]load.Request, len(r.rows))
	for i, row := range r.rows {
		c := j.classes[row.Class]
		reqs[i] = load.Request{ID: i + 1, Function: c.Function, UID: c.UID, Group: c.Group, N: c.N, Port: c.Port,
			Size: costs[c.Function].Size, Rounds: rounds[row.Class], Due: due[i]}
	}
	return reqs, nil
}

// calibrate measures the functions' costs, or finds them measured before on
// the same host boot with the same parts.
func (j *job) calibrate(ctx context.Context, rig *Rig) (map[string]load.Cost, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	p := rig.Parts
	key, err := digest.New("calibration/1").Str("boot", string(boot)).Str("kernel", p.Kernel.Key).Str("image", p.Image.Digest).
		Str("tools", p.ToolsDigest).Str("accel", string(p.Accel)).Str("ports", strings.Join(j.ports, ",")).Sum()
	if err != nil {
		return nil, err
	}
	dir, err := cache.Dir("calibration")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, key+".json")
	step := j.opts.Rig.Progress.Step("calibrate", 0, 0)
	costs := map[string]load.Cost{}
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &costs) == nil {
		step.Done("kept")
		return costs, nil
	}
	var reqs []load.Request
	for i, c := range j.classes {
		reqs = append(reqs, load.Request{ID: i + 1, Function: c.Function, UID: c.UID, Group: c.Group, Port: c.Port})
	}
	out, err := j.inGuest(ctx, rig, "alps-load calibrate", reqs, step)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &costs); err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	if err := atomicfile.Write(path, out, 0o644); err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	step.Done("")
	return costs, nil
}

// inGuest runs alps-load with reqs as its input, off the functions' CPUs.
func (j *job) inGuest(ctx context.Context, rig *Rig, line string, reqs []load.Request, step *progress.Step) ([]byte, error) {
	var in, out bytes.Buffer
	if err := load.WriteTrace(&in, reqs); err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	go func() {
		sc := bufio.NewScanner(pr)
		for sc.Scan() {
			var done, total int
			if n, _ := fmt.Sscan(sc.Text(), &done, &total); n == 2 && total > 0 {
				step.Detail("%d/%d", done, total)
				step.Frac(float64(done) / float64(total))
			}
		}
		io.Copy(io.Discard, pr)
	}()
	err := rig.Machine.Run(ctx, vm.Cmd{Line: line, Stdin: &in, Stdout: &out, Stderr: pw})
	pw.Close()
	return out.Bytes(), err
}

func (j *job) replay(ctx context.Context, rig *Rig, costs map[string]load.Cost, r run, step *progress.Step) (results.Result, error) {
	p := rig.Parts
	cpus := p.FunctionCPUs()
	reqs, err := j.requests(r, costs, cpus)
	if err != nil {
		return results.Result{}, err
	}
	mode, err := json.Marshal(r.mode)
	if err != nil {
		return results.Result{}, err
	}
	out, err := j.inGuest(ctx, rig, "alps-load replay '"+string(mode)+"'", reqs, step)
	if err != nil {
		return results.Result{}, err
	}
	var stats load.Outcome
	head, body, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(head, &stats); err != nil {
		return results.Result{}, fmt.Errorf("alps-load: %w", err)
	}
	invocations, err := results.ReadCSV("alps-load", bytes.NewReader(body))
	if err != nil {
		return results.Result{}, err
	}
	var params map[string]any
	if err := json.Unmarshal(mode, &params); err != nil {
		return results.Result{}, err
	}
	params["costs"] = costs
	observer, err := json.Marshal(stats.Observer)
	if err != nil {
		return results.Result{}, err
	}
	meta := results.Run{
		Experiment: j.exp.Name, Key: r.key, Engine: results.EngineVM, Profile: j.profile.Name.V, Workload: j.part.Mix.Name.V,
		Scheduler: r.scheduler.Name.V, Round: r.round, Seed: j.part.RoundSeed(r.round), Parameters: params,
		Kernel: rig.Info.KernelRelease, KernelName: p.Kernel.Name, KernelFallback: p.Fallback, KernelSource: p.Kernel.Source,
		ConfigDigest: p.Kernel.ConfigDigest, Accelerator: string(p.Accel), CPUs: p.CPUs, FunctionCPUs: cpus,
		ImageDigest: p.Image.Digest, Docker: rig.Info.Docker, Revision: revision(ctx, p.opts.Root),
		Invocations: len(invocations), TimeFactor: j.profile.TimeFactor.V, LoadAsked: j.part.Load.V,
		LoadAchieved: float64(stats.CPU) / (float64(stats.Span) * float64(cpus)),
		MeanGap:      stats.MeanGap, LateP50: stats.LateP50, LateP99: stats.LateP99, LateMax: stats.LateMax, Took: stats.Took,
		Failed: stats.Failed, Lost: stats.Lost, Errors: stats.Errors,
	}
	meta.Judge()
	if err := json.Unmarshal(observer, &meta.Observer); err != nil {
		return results.Result{}, err
	}
	return results.Result{Run: meta, Invocations: invocations, Slices: stats.Slices}, nil
}
