// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	alpsclient "github.com/ds2-lab/alps/alps/client"
)

// Program is a scheduler that is a program: it loads itself into the kernel by
// sched_ext, decides while it runs, and leaves when it is interrupted. Its files
// come as a tar archive before the trace.
type Program struct {
	Name         string   `json:"name"` // for messages
	Args         []string `json:"args"` // the command; Args[0] is a file of the archive
	ArchiveBytes int64    `json:"archive_bytes"`
}

// Charge is what the kernel and the program said while the program decided.
type Charge struct {
	Ops       string `json:"ops"`        // the name under which the kernel has the scheduler
	EnableSeq string `json:"enable_seq"` // how many schedulers had been loaded, with this one
	Output    string `json:"output"`     // of the program: the last outputKept bytes
}

// sysfsSchedExt is where the kernel says which scheduler is loaded.
const sysfsSchedExt = "/sys/kernel/sched_ext"

const (
	// loadLimit is how long a program may take until it is in charge. leaveLimit is how long it may
	// take to end, and then how long the kernel may still have its scheduler. Both are the guest's time.
	loadLimit  = 30 * time.Second
	leaveLimit = 10 * time.Second
	// outputKept is how much of a program's output is kept.
	outputKept = 32 << 10
)

// running is a program in charge.
type running struct {
	p      Program
	sysfs  string
	dir    string
	cmd    *exec.Cmd
	output lastBytes
	ended  chan struct{}
	err    error // of cmd.Wait, once ended
	charge Charge
}

// startProgram unpacks the archive, starts the program and returns when the
// kernel says that a scheduler is enabled. sysfs is sysfsSchedExt, but in tests.
func startProgram(ctx context.Context, sysfs string, p Program, archive io.Reader) (_ *running, err error) {
	r := &running{p: p, sysfs: sysfs, ended: make(chan struct{})}
	state, err := r.read("state")
	if err != nil {
		return nil, fmt.Errorf("scheduler %s: this kernel has no sched_ext: %w", p.Name, err)
	}
	if state != "disabled" {
		ops, _ := r.read("root/ops")
		return nil, fmt.Errorf("scheduler %s: another one (%s) is %s already", p.Name, ops, state)
	}
	if r.dir, err = os.MkdirTemp(memoryDir(), "scheduler"); err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", p.Name, err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(r.dir)
		}
	}()
	if err := unpack(archive, p.ArchiveBytes, r.dir); err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", p.Name, err)
	}
	if len(p.Args) == 0 {
		return nil, fmt.Errorf("scheduler %s: no command", p.Name)
	}
	// The process outlives ctx's end by as long as leaving takes.
	r.cmd = exec.Command(filepath.Join(r.dir, p.Args[0]), p.Args[1:]...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, &r.output, &r.output
	r.cmd.WaitDelay = time.Second // for children that hold the output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", p.Name, err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	if err := r.await(ctx, loadLimit, "enabled"); err != nil {
		return nil, errors.Join(fmt.Errorf("scheduler %s: not in charge: %w%s", p.Name, err, r.said()), r.leave())
	}
	r.charge.Ops, err = r.read("root/ops")
	if err == nil {
		r.charge.EnableSeq, err = r.read("enable_seq")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scheduler %s: %w", p.Name, err), r.leave())
	}
	return r, nil
}

// memoryDir is a directory in memory, where there is one: in a guest in virtual
// time a disk answers in the host's time.
func memoryDir() string {
	const shm = "/dev/shm"
	if st, err := os.Stat(shm); err == nil && st.IsDir() {
		return shm
	}
	return os.TempDir()
}

// stop ends the program. broken says why the program was not in charge from
// start to stop; it is empty if it was.
func (r *running) stop() (c Charge, broken []string) {
	if state, _ := r.read("state"); state != "enabled" {
		select { // the kernel may notice its end first
		case <-r.ended:
		case <-time.After(200 * time.Millisecond):
		}
	}
	select {
	case <-r.ended:
		broken = append(broken, fmt.Sprintf("scheduler %s ended before the run did: %s%s", r.p.Name, exitStatus(r.err), r.said()))
	default:
		for name, was := range map[string]string{"state": "enabled", "root/ops": r.charge.Ops, "enable_seq": r.charge.EnableSeq} {
			if is, err := r.read(name); err != nil || is != was {
				broken = append(broken, fmt.Sprintf("scheduler %s was not in charge for the whole run: %s was %q, at the end %q", r.p.Name, filepath.Join(r.sysfs, name), was, is))
			}
		}
	}
	if err := r.leave(); err != nil {
		broken = append(broken, err.Error())
	}
	r.charge.Output = r.output.String()
	return r.charge, broken
}

// leave interrupts the program, and kills it if that does not help, and waits
// until the kernel has no scheduler any more.
func (r *running) leave() error {
	defer os.RemoveAll(r.dir)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		_ = syscall.Kill(-r.cmd.Process.Pid, s) // it may have ended
		select {
		case <-r.ended:
		case <-time.After(leaveLimit / 2):
			continue
		}
		break
	}
	if err := r.await(context.Background(), leaveLimit, "disabled"); err != nil {
		return fmt.Errorf("scheduler %s: still loaded after its program ended: %w", r.p.Name, err)
	}
	return nil
}

// await returns when the kernel's state is want. Waiting for "enabled" ends with
// the program.
func (r *running) await(ctx context.Context, limit time.Duration, want string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not %s after %s", want, limit))
	defer cancel()
	var ended chan struct{}
	if want == "enabled" {
		ended = r.ended
	}
	for {
		if is, err := r.read("state"); err != nil || is == want {
			return err
		}
		select {
		case <-ended:
			return fmt.Errorf("it ended: %s", exitStatus(r.err))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *running) read(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(r.sysfs, name))
	return strings.TrimSpace(string(data)), err
}

// said is the end of the program's output, for messages.
func (r *running) said() string {
	text := strings.TrimSpace(r.output.String())
	if text == "" {
		return " (it wrote nothing)"
	}
	lines := strings.Split(text, "\n")
	return "\n" + strings.Join(lines[max(0, len(lines)-10):], "\n")
}

func exitStatus(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// unpack writes the files of a tar archive of so many bytes into dir, and reads
// the archive to its end.
func unpack(in io.Reader, size int64, dir string) error {
	limited := io.LimitReader(in, size)
	tr := tar.NewReader(limited)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the program's archive: %w", err)
		}
		if !filepath.IsLocal(h.Name) || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("archive: %q is not the name of a file in it", h.Name)
		}
		f, err := os.OpenFile(filepath.Join(dir, h.Name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
		if err != nil {
			return fmt.Errorf("unpack the program: %w", err)
		}
		_, err = io.Copy(f, tr)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("unpack the program: %w", err)
		}
	}
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return fmt.Errorf("read the program's archive to its end: %w", err)
	}
	return nil
}

// lastBytes keeps the last outputKept bytes that are written to it.
type lastBytes struct {
	mu   sync.Mutex
	data []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = append(l.data, p...)
	l.data = l.data[max(0, len(l.data)-outputKept):]
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ToValidUTF8(string(l.data), "?")
}

// Job is what a replay is told: the daemon's mode, and the program that decides
// instead of the kernel's scheduler, if there is one.
type Job struct {
	alpsclient.Mode
	Program *Program `json:"program,omitempty"`
}

// Run reads the program's archive, if there is a program, and then the trace from
// in, and replays the trace. The program starts before the trace and is stopped
// after it.
func (r *Replayer) Run(ctx context.Context, job Job, in io.Reader) (Outcome, error) {
	return r.run(ctx, sysfsSchedExt, job, in, r.Replay)
}

func (r *Replayer) run(ctx context.Context, sysfs string, job Job, in io.Reader, replay func(context.Context, alpsclient.Mode, []Request) (Outcome, error)) (Outcome, error) {
	var program *running
	if job.Program != nil {
		var err error
		if program, err = startProgram(ctx, sysfs, *job.Program, in); err != nil {
			return Outcome{}, err
		}
	}
	reqs, err := ReadTrace("stdin", in)
	var out Outcome
	if err == nil {
		out, err = replay(ctx, job.Mode, reqs)
	}
	if program != nil {
		charge, broken := program.stop()
		out.Charge, out.Broken = &charge, append(out.Broken, broken...)
		if err != nil && len(broken) > 0 {
			err = fmt.Errorf("%w\n%s", err, strings.Join(broken, "\n"))
		}
	}
	return out, err
}
