// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ds2-lab/alps/experiments/loadgen"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/vm"
)

// Acquire returns a guest with the functions of ports, whose costs it knows. In
// virtual time the Guest stands for a snapshot with all functions, from which every
// run starts: runs are isolated from each other and deterministic. Elsewhere the guest
// is running, and all runs take place in it.
func (a Artifacts) Acquire(ctx context.Context, ports []string) (*Guest, error) {
	if a.Accel == vm.VTime {
		return a.fromSnapshot(ctx)
	}
	g, err := a.Boot(ctx, ports)
	if err != nil {
		return nil, err
	}
	if g.Costs, err = g.knownCosts(ctx, ports); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

const (
	// windowMiB is the size of the memory that a guest shares with the host. It holds a
	// program of 40 MB with a trace, or the results of a hundred thousand invocations.
	windowMiB = 64
	// guestName is the file beside a snapshot that has its provisioned.
	guestName = "guest.json"
)

// provisioned is what is known of a snapshot's guest.
type provisioned struct {
	Info    vm.Info       `json:"info"`
	Costs   Costs         `json:"costs"`
	HostCPU time.Duration `json:"host_cpu_ns"` // that QEMU used until the snapshot was taken
}

// snapshot is the configuration of the snapshot that runs start from.
func (a Artifacts) snapshot() (vm.Config, vm.Provision, error) {
	setUp, err := a.SetUp()
	if err != nil {
		return vm.Config{}, vm.Provision{}, err
	}
	key, err := digest.New("provision/5").Str("tools", a.ToolsDigest).Str("set up", setUp).Str("platform", fmt.Sprint(a.PlatformModelled)).Str("quiet", a.quiet()).Sum()
	c := a.VMConfig()
	c.Window = windowMiB
	return c, vm.Provision{Key: key, Run: a.provision, Kinds: a.Kinds}, err
}

// IsSetUp says whether Acquire finds a snapshot; always false but in virtual time.
func (a Artifacts) IsSetUp(ctx context.Context) bool {
	if a.Accel != vm.VTime {
		return false
	}
	c, p, err := a.snapshot()
	return err == nil && vm.HasSnapshot(ctx, c, p)
}

func (a Artifacts) fromSnapshot(ctx context.Context) (*Guest, error) {
	c, p, err := a.snapshot()
	if err != nil {
		return nil, err
	}
	s, err := vm.TakeSnapshot(ctx, c, p, a.opts.Progress)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(s.Dir, guestName))
	if err != nil {
		return nil, fmt.Errorf("read what the snapshot holds: %w", err)
	}
	var known provisioned
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", s.Dir, err)
	}
	return &Guest{Artifacts: a, Info: known.Info, Costs: known.Costs, SetUpCPU: known.HostCPU, snapshot: &s}, nil
}

// quiet is the command after which nothing in the guest waits for a device, for
// devices answer in the host's time. It reads every file that may be needed into
// memory, ends writing to the disk, starts alps-loadgen, which waits for a job, and
// lets the network go down two seconds later.
func (a Artifacts) quiet() string {
	return vm.NoWriteback + ` &&
find /opt/alps -type f -exec cat {} + >/dev/null &&
systemd-run --quiet --collect --unit=alps-loadgen ` + a.onSystemCPU() + `-p Restart=no alps-loadgen serve && sleep 1 && systemctl is-active -q alps-loadgen && sync &&
systemd-run --quiet --collect sh -c 'sleep 2; ip link set eth0 down'`
}

// provision makes a booted guest the one that runs start from, and writes what is
// known of it into dir.
func (a Artifacts) provision(ctx context.Context, m *vm.Guest, dir string) error {
	g := &Guest{VM: m, Artifacts: a}
	step := a.opts.Progress.Step("guest: daemon, functions", 0, 0)
	if err := g.setUp(ctx, nil, step); err != nil {
		return err
	}
	step.Done("")
	costs, err := g.calibrate(ctx, nil)
	if err != nil {
		return err
	}
	used, err := m.CPUTime()
	if err != nil {
		return err
	}
	data, err := json.Marshal(provisioned{g.Info, costs, used})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, guestName), data, 0o644); err != nil {
		return err
	}
	return m.Run(ctx, vm.Cmd{Line: a.quiet()})
}

// Do runs alps-loadgen with a command and its argument, and returns its output. Its
// input is the archive of a program, if there is one, and reqs. With a snapshot a new
// guest starts from it for this one job, and ends; else it runs in g.VM.
func (g *Guest) Do(ctx context.Context, command, arg string, program *Program, reqs []loadgen.Request, step *progress.Step) ([]byte, error) {
	var in bytes.Buffer
	if g.snapshot != nil {
		fmt.Fprintln(&in, command, arg)
	}
	if program != nil {
		in.Write(program.archive)
	}
	if err := loadgen.WriteTrace(&in, reqs); err != nil {
		return nil, err
	}
	tell := func(done, total int) {
		if total > 0 {
			step.Detail("%d/%d", done, total)
			step.Frac(float64(done) / float64(total))
		}
	}
	m := g.VM
	do := func() ([]byte, error) { return g.overShell(ctx, command, arg, &in, tell) }
	if g.snapshot != nil {
		var err error
		if m, err = g.snapshot.StartSilent(ctx); err != nil {
			return nil, err
		}
		defer m.Close()
		do = func() ([]byte, error) { return m.Do(ctx, in.Bytes(), tell) }
	}
	out, err := do()
	if err != nil {
		return nil, fmt.Errorf("%w\n(console: %s)", err, m.Console())
	}
	used, err := m.CPUTime()
	g.hostCPU.Store(int64(used))
	return out, err
}

// overShell runs alps-loadgen as a command of the guest.
func (g *Guest) overShell(ctx context.Context, command, arg string, in io.Reader, tell func(done, total int)) ([]byte, error) {
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
	line := "alps-loadgen " + command
	if arg != "" {
		line += " " + vm.Quote(arg)
	}
	var out bytes.Buffer
	err := g.VM.Run(ctx, vm.Cmd{Line: line, Stdin: in, Stdout: &out, Stderr: pw})
	pw.Close()
	return out.Bytes(), err
}
