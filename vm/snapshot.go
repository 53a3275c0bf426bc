package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
)

// ErrNoSnapshot means that this guest cannot be restored from one.
var ErrNoSnapshot = errors.New("no snapshot")

const (
	snapshotDisk   = "disk.qcow2"
	snapshotMemory = "memory"

	// snapshotsKept are few: each is some 300 MB, and a change of our code
	// makes a new one necessary.
	snapshotsKept = 3
)

// Restore starts a guest from a snapshot of the same guest, taken when Docker
// was ready, and takes that first if there is none. Its clocks go on from then;
// it is for trying things, not for measuring.
func Restore(ctx context.Context, c Config, rep *progress.Reporter) (*Machine, error) {
	if c.Share != "" || c.Keep != "" || c.Writable || c.Accel == ICount {
		return nil, fmt.Errorf("vm: %w: not with a shared directory, a kept disk or icount", ErrNoSnapshot)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	key, err := c.snapshotKey(ctx)
	if err != nil {
		return nil, err
	}
	e, err := cache.Get(ctx, "snapshot", key, func(ctx context.Context, dir string) error {
		step := rep.Step("guest: snapshot", 0, 0)
		if err := c.snapshot(ctx, dir); err != nil {
			return fmt.Errorf("vm: %w: %w", ErrNoSnapshot, err)
		}
		step.Done("")
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !e.Hit {
		prune(filepath.Dir(e.Dir), snapshotsKept)
	}
	c.from = e.Dir
	m, err := Start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%w (delete %s to have a new snapshot)", err, e.Dir)
	}
	// The wall clock stood still; the others may go on from where they were.
	return m, m.Run(ctx, Cmd{Line: fmt.Sprintf("date -s @%d >/dev/null", time.Now().Unix())})
}

// prune removes all but the n entries of a cache that were used last. A guest
// that runs from one has its files open.
func prune(dir string, n int) {
	entries, err := filepath.Glob(filepath.Join(dir, "*", snapshotMemory))
	if err != nil {
		return // a pattern that is right stays right
	}
	used := map[string]time.Time{}
	for _, e := range entries {
		if st, err := os.Stat(filepath.Dir(e)); err == nil {
			used[e] = st.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b string) int { return used[b].Compare(used[a]) })
	for _, e := range entries[min(n, len(entries)):] {
		os.RemoveAll(filepath.Dir(e))
	}
}

// snapshotKey names a snapshot by all that must be the same when it is restored.
func (c Config) snapshotKey(ctx context.Context) (string, error) {
	version, err := command.Output(ctx, command.Cmd{Args: []string{"qemu-system-x86_64", "--version"}})
	if err != nil {
		return "", err
	}
	args, err := json.Marshal(c.args(paths{}))
	if err != nil {
		return "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	d := digest.New("snapshot/1").Str("qemu", string(version)).Str("args", string(args)).Str("disk", c.Disk)
	if c.Accel == KVM {
		d.Str("host boot", string(boot)) // another processor or microcode
	}
	return d.Sum()
}

// snapshot boots the guest and leaves its disk and memory in dir.
func (c Config) snapshot(ctx context.Context, dir string) error {
	c.Shared, c.Detached, c.Pin, c.GDBPort = false, false, nil, 0
	c.overlay = filepath.Join(dir, snapshotDisk)
	m, err := Start(ctx, c)
	if err != nil {
		return err
	}
	defer m.kill()
	if err := m.WaitDocker(ctx, 2*time.Minute); err != nil {
		return err
	}
	if err := m.Run(ctx, Cmd{Line: "sync"}); err != nil {
		return err
	}
	m.client.Close()
	time.Sleep(time.Second) // for the guest to see that we are gone
	if _, err := m.monitor.Do(ctx, "stop", nil); err != nil {
		return err
	}
	return m.migrate(ctx, "migrate", "exec:cat >"+filepath.Join(dir, snapshotMemory))
}

// migrate moves the guest's memory out or in.
func (m *Machine) migrate(ctx context.Context, command, uri string) error {
	if _, err := m.monitor.Do(ctx, command, map[string]any{"uri": uri}); err != nil {
		return err
	}
	for {
		raw, err := m.monitor.Do(ctx, "query-migrate", nil)
		if err != nil {
			return err
		}
		var state struct {
			Status string
			Error  string `json:"error-desc"`
		}
		if err := json.Unmarshal(raw, &state); err != nil {
			return err
		}
		switch state.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("%s: %s %s", command, state.Status, state.Error)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-m.Gone():
			return fmt.Errorf("%s: %w", command, m.Fault())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// resume loads the memory of the snapshot that the guest starts from.
func (m *Machine) resume(ctx context.Context) error {
	if m.Config.from == "" {
		return nil
	}
	if err := m.migrate(ctx, "migrate-incoming", "exec:cat "+filepath.Join(m.Config.from, snapshotMemory)); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSnapshot, err)
	}
	return nil
}
