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

	"github.com/ds2-lab/alps/experiments/load"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// Ready is a rig with the functions of ports whose costs are known. In virtual
// time it is a snapshot with all functions, from which each run goes on: none is
// disturbed by what was before it, and two of the same do the same. Elsewhere it
// is one guest for all runs.
func (p Parts) Ready(ctx context.Context, ports []string) (*Rig, error) {
	if p.Accel == vm.VTime {
		return p.fromSnapshot(ctx)
	}
	r, err := p.Boot(ctx, ports)
	if err != nil {
		return nil, err
	}
	if r.Costs, err = r.knownCosts(ctx, ports); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

const (
	// windowMiB holds a trace and the results of a hundred thousand invocations.
	windowMiB = 16
	// guestName is the file of a snapshot that says what it is.
	guestName = "guest.json"
)

// provisioned is what is known of a snapshot.
type provisioned struct {
	Info  vm.Info `json:"info"`
	Costs Costs   `json:"costs"`
}

func (p Parts) fromSnapshot(ctx context.Context) (*Rig, error) {
	key, err := digest.New("provision/3").Str("tools", p.ToolsDigest).Str("cpus", p.functionCPUs()).Str("deployment", p.deployment).Str("quiet", p.quiet()).Sum()
	if err != nil {
		return nil, err
	}
	c := p.VMConfig()
	c.Window = windowMiB
	s, err := vm.TakeSnapshot(ctx, c, vm.Provision{Key: key, Run: p.provision}, p.opts.Progress)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(s.Dir, guestName))
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var known provisioned
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", s.Dir, err)
	}
	return &Rig{Parts: p, Info: known.Info, Costs: known.Costs, snapshot: &s}, nil
}

// quiet leaves nothing that would wait for a device, whose answers come in the
// host's time: what may be read from a disk is read, nothing is written to one,
// and the network ends when we are gone. Then alps-load waits for a job.
func (p Parts) quiet() string {
	return vm.NoWriteback + ` &&
find /opt/alps -type f -exec cat {} + >/dev/null &&
systemd-run --quiet --collect --unit=alps-load ` + p.onSystemCPU() + `-p Restart=no alps-load serve && sleep 1 && systemctl is-active -q alps-load && sync &&
systemd-run --quiet --collect sh -c 'sleep 2; ip link set eth0 down'`
}

// provision makes of a booted guest the one that runs go on from.
func (p Parts) provision(ctx context.Context, m *vm.Machine, dir string) error {
	r := &Rig{Machine: m, Parts: p}
	step := p.opts.Progress.Step("guest: daemon, functions", 0, 0)
	if err := r.setUp(ctx, nil, step); err != nil {
		return err
	}
	step.Done("")
	costs, err := r.calibrate(ctx, nil)
	if err != nil {
		return err
	}
	data, err := json.Marshal(provisioned{r.Info, costs})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, guestName), data, 0o644); err != nil {
		return err
	}
	return m.Run(ctx, vm.Cmd{Line: p.quiet()})
}

// Do runs alps-load with a command, its argument and reqs as its input, and
// returns what it wrote.
func (r *Rig) Do(ctx context.Context, command, arg string, reqs []load.Request, step *progress.Step) ([]byte, error) {
	var in bytes.Buffer
	if r.snapshot != nil {
		fmt.Fprintln(&in, command, arg)
	}
	if err := load.WriteTrace(&in, reqs); err != nil {
		return nil, err
	}
	tell := func(done, total int) {
		if total > 0 {
			step.Detail("%d/%d", done, total)
			step.Frac(float64(done) / float64(total))
		}
	}
	m := r.Machine
	do := func() ([]byte, error) { return r.overShell(ctx, command, arg, &in, tell) }
	if r.snapshot != nil {
		var err error
		if m, err = r.snapshot.StartSilent(ctx); err != nil {
			return nil, err
		}
		defer m.Close()
		do = func() ([]byte, error) { return m.Do(ctx, in.Bytes(), tell) }
	}
	out, err := do()
	if err != nil {
		return nil, fmt.Errorf("%w\n(console: %s)", err, m.Console())
	}
	return out, nil
}

// overShell runs alps-load as a command of the guest.
func (r *Rig) overShell(ctx context.Context, command, arg string, in io.Reader, tell func(done, total int)) ([]byte, error) {
	pr, pw := io.Pipe()
	go func() {
		sc := bufio.NewScanner(pr)
		for sc.Scan() {
			var done, total int
			if n, _ := fmt.Sscan(sc.Text(), &done, &total); n == 2 {
				tell(done, total)
			}
		}
		io.Copy(io.Discard, pr)
	}()
	line := "alps-load " + command
	if arg != "" {
		line += " " + vm.Quote(arg)
	}
	var out bytes.Buffer
	err := r.Machine.Run(ctx, vm.Cmd{Line: line, Stdin: in, Stdout: &out, Stderr: pw})
	pw.Close()
	return out.Bytes(), err
}
