package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/experiments/trace"
	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/openlambda"
	"github.com/ds2-lab/alps/vm"
)

// requests turns rows into requests for this machine.
func (r *run) requests(costs map[string]load.Cost, cpus int) ([]load.Request, error) {
	demand := make([]time.Duration, len(r.classes))
	rounds := make([]int, len(r.classes))
	for i, c := range r.classes {
		cost, ok := costs[c.Function]
		if !ok {
			return nil, fmt.Errorf("function %s was not calibrated", c.Function)
		}
		rounds[i] = cost.Rounds(time.Duration(float64(c.CPU) * r.factor))
		demand[i] = cost.CPU(rounds[i])
	}
	each := make([]time.Duration, len(r.rows))
	for i, row := range r.rows {
		each[i] = demand[row.Class]
	}
	due := trace.Scale(r.rows, each, r.load, cpus)
	reqs := make([]load.Request, len(r.rows))
	for i, row := range r.rows {
		c := r.classes[row.Class]
		reqs[i] = load.Request{ID: i + 1, Function: c.Function, UID: c.UID, Group: c.Group, N: c.N, Port: c.Port,
			Size: costs[c.Function].Size, Rounds: rounds[row.Class], Due: due[i]}
	}
	return reqs, nil
}

// calibrate measures the functions' costs, or finds them measured before on
// the same host boot with the same parts.
func (b *bench) calibrate(ctx context.Context, rig *Rig) (map[string]load.Cost, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	p := rig.Parts
	key, err := digest.New("calibration/1").Str("boot", string(boot)).Str("kernel", p.Kernel.Key).Str("image", p.Image.Digest).
		Str("tools", p.ToolsDigest).Str("accel", string(p.Accel)).Str("ports", strings.Join(b.ports, ",")).Sum()
	if err != nil {
		return nil, err
	}
	dir, err := cache.Dir("calibration")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, key+".json")
	step := b.opts.Rig.Progress.Step("calibrate", 0, 0)
	costs := map[string]load.Cost{}
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &costs) == nil {
		step.Done("kept")
		return costs, nil
	}
	var reqs []load.Request
	for i, f := range openlambda.Artifact {
		if slices.Contains(b.ports, f.Port) {
			reqs = append(reqs, load.Request{ID: i + 1, Function: f.Name, UID: f.UID, Port: f.Port})
		}
	}
	out, err := inGuest(ctx, rig, "alps-load calibrate", reqs, step)
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
func inGuest(ctx context.Context, rig *Rig, line string, reqs []load.Request, step *progress.Step) ([]byte, error) {
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

func (b *bench) replay(ctx context.Context, rig *Rig, costs map[string]load.Cost, r *run, step *progress.Step) (results.Result, error) {
	p := rig.Parts
	cpus := p.FunctionCPUs()
	reqs, err := r.requests(costs, cpus)
	if err != nil {
		return results.Result{}, err
	}
	mode, err := json.Marshal(r.mode)
	if err != nil {
		return results.Result{}, err
	}
	out, err := inGuest(ctx, rig, "alps-load replay '"+string(mode)+"'", reqs, step)
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
		Key: r.key, Engine: results.EngineVM, Profile: b.profile.Name.V, Workload: r.workload,
		Scheduler: r.mode.Policy, Round: r.round, Seed: r.seed, Parameters: params,
		Kernel: rig.Info.KernelRelease, KernelName: p.Kernel.Name, KernelFallback: p.Fallback, KernelSource: p.Kernel.Source,
		ConfigDigest: p.Kernel.ConfigDigest, Accelerator: string(p.Accel), CPUs: p.CPUs, FunctionCPUs: cpus,
		ImageDigest: p.Image.Digest, Docker: rig.Info.Docker, Revision: revision(ctx, p.opts.Root),
		Invocations: len(invocations), TimeFactor: r.factor, LoadAsked: r.load,
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
