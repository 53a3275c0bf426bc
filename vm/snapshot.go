// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
)

// ErrNoSnapshot means that a snapshot could not be taken, or that a guest could not be
// restored from it.
var ErrNoSnapshot = errors.New("no snapshot")

const (
	snapshotDisk   = "disk.qcow2"
	snapshotMemory = "memory"

	// snapshotsKept is how many snapshots are kept if nobody asks for more. They are few:
	// each has up to SnapshotMiB, and a change of our code makes a new one necessary.
	snapshotsKept = 6
	// SnapshotMiB is how large a snapshot is at most; measured were 290 to 750 MB.
	SnapshotMiB = 750
)

// Provision prepares a guest before its snapshot is taken. The zero Provision leaves the
// guest as it is once Docker is ready.
type Provision struct {
	Key string                                      // names what Run does, but for what the Config says
	Run func(context.Context, *Guest, string) error // files that it leaves in the given directory come with the snapshot; nil: nothing is done

	Kinds int // how many snapshots the caller goes on from by turns: at least so many stay in the cache
}

// NoWriteback is a line for the shell of a guest whose snapshot is for jobs in virtual
// time. After it neither the kernel nor a timer writes to the guest's disk by itself.
const NoWriteback = `systemctl stop '*.timer' && sysctl -q vm.dirty_writeback_centisecs=0 && mount -o remount,commit=86400 /`

// Snapshot is a guest that stands still. From it any number of guests go on,
// side by side, each with a disk of its own.
type Snapshot struct {
	Dir string // has the files that Provision.Run left

	config Config
}

// TakeSnapshot finds the snapshot of a guest in the cache, or boots the guest, provisions
// it and takes one. The error wraps ErrNoSnapshot if none can be taken, as of a guest
// with Share, Keep or Writable.
func TakeSnapshot(ctx context.Context, c Config, p Provision, rep *progress.Reporter) (Snapshot, error) {
	if c.Share != "" || c.Keep != "" || c.Writable {
		return Snapshot{}, fmt.Errorf("vm: %w: not with a shared directory or a kept disk", ErrNoSnapshot)
	}
	if err := c.check(); err != nil {
		return Snapshot{}, err
	}
	key, err := c.snapshotKey(ctx, p)
	if err != nil {
		return Snapshot{}, err
	}
	e, err := cache.Get(ctx, "snapshot", key, func(ctx context.Context, dir string) error {
		step := rep.Step("guest: snapshot", 0, 0)
		if err := c.snapshot(ctx, p, dir); err != nil {
			return fmt.Errorf("vm: %w: %w", ErrNoSnapshot, err)
		}
		step.Done("")
		return nil
	})
	if err != nil {
		return Snapshot{}, err
	}
	if !e.Hit {
		prune(filepath.Dir(e.Dir), max(snapshotsKept, p.Kinds))
	}
	c.from = e.Dir
	return Snapshot{Dir: e.Dir, config: c}, nil
}

// HasSnapshot says whether TakeSnapshot would find the snapshot of a guest.
func HasSnapshot(ctx context.Context, c Config, p Provision) bool {
	key, err := c.snapshotKey(ctx, p)
	if err != nil {
		return false
	}
	entries, err := cache.List("snapshot")
	return err == nil && slices.ContainsFunc(entries, func(e cache.Entry) bool { return filepath.Base(e.Dir) == key })
}

// Start lets a guest go on from the snapshot. Its wall clock is set to the host's; its
// other clocks go on from where they were. It is for trying things, not for measuring.
func (s Snapshot) Start(ctx context.Context) (*Guest, error) {
	g, err := s.start(ctx, s.config)
	if err != nil {
		return nil, err
	}
	if err := g.Run(ctx, Cmd{Line: fmt.Sprintf("date -s @%d >/dev/null", time.Now().Unix())}); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// StartSilent starts a guest that goes on from the snapshot when it is given a job
// through its window (Guest.Do). Nothing else reaches it, so in virtual time the same job
// makes it do the same.
func (s Snapshot) StartSilent(ctx context.Context) (*Guest, error) {
	c := s.config
	c.silent, c.Shared = true, false
	return s.start(ctx, c)
}

func (s Snapshot) start(ctx context.Context, c Config) (*Guest, error) {
	now := time.Now()
	_ = os.Chtimes(s.Dir, now, now) // prune keeps what was used last
	g, err := Start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%w (delete %s to have a new snapshot)", err, s.Dir)
	}
	return g, nil
}

// entryRE matches the names of a cache's entries.
var entryRE = regexp.MustCompile(`^[0-9a-f]{64}$`)

// prune removes all snapshots in a cache but the n that were used last. A guest that
// runs from a removed one goes on, for it has the files open. Folders with other names
// than entries have stay.
func prune(dir string, n int) {
	entries, err := filepath.Glob(filepath.Join(dir, "*", snapshotMemory))
	if err != nil {
		return // a pattern that is right stays right
	}
	used := map[string]time.Time{}
	entries = slices.DeleteFunc(entries, func(e string) bool { return !entryRE.MatchString(filepath.Base(filepath.Dir(e))) })
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
func (c Config) snapshotKey(ctx context.Context, p Provision) (string, error) {
	c, err := c.absolute()
	if err != nil {
		return "", err
	}
	version, err := command.Output(ctx, command.Cmd{Args: []string{c.qemu(), "--version"}})
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
	d := digest.New("snapshot/3").Str("qemu", string(version)).Str("args", string(args)).Str("disk", c.Disk).Str("built", built(c.Disk)).Str("provision", p.Key)
	if c.Accel == KVM {
		d.Str("host boot", string(boot)) // after another boot the processor or its microcode may differ
	}
	return d.Sum()
}

// snapshot boots the guest, provisions it, and leaves its disk and memory in dir.
func (c Config) snapshot(ctx context.Context, p Provision, dir string) error {
	c.Shared, c.Detached, c.Pin, c.GDBPort = false, false, nil, 0
	c.overlay = filepath.Join(dir, snapshotDisk)
	g, err := Start(ctx, c)
	if err != nil {
		return err
	}
	defer g.kill()
	if err := g.WaitDocker(ctx, 2*time.Minute); err != nil {
		return err
	}
	if err := g.Run(ctx, Cmd{Line: "sync"}); err != nil {
		return err
	}
	if p.Run != nil {
		if err := p.Run(ctx, g, dir); err != nil {
			return fmt.Errorf("%w (console: %s)", err, g.Console())
		}
	}
	g.client.Close()
	if c.Window > 0 {
		if err := g.awaitServer(ctx); err != nil {
			return err
		}
	} else {
		select { // the guest sees meanwhile that the connection has ended
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if _, err := g.monitor.Do(ctx, "stop", nil); err != nil {
		return err
	}
	return g.migrate(ctx, "migrate", "exec:cat >"+Quote(filepath.Join(dir, snapshotMemory)))
}

// migrate writes the guest's memory to uri (command migrate) or reads it from there
// (migrate-incoming), and waits until that is done.
func (g *Guest) migrate(ctx context.Context, command, uri string) error {
	if _, err := g.monitor.Do(ctx, command, map[string]any{"uri": uri}); err != nil {
		return err
	}
	for {
		raw, err := g.monitor.Do(ctx, "query-migrate", nil)
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
		case <-g.Gone():
			return fmt.Errorf("%s: %w", command, g.Fault())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// resume loads the memory of the snapshot that the guest starts from.
func (g *Guest) resume(ctx context.Context) error {
	if g.Config.from == "" {
		return nil
	}
	// Else QEMU announces on the guest's network that the guest has moved: an interrupt
	// at a moment of the host's choosing.
	if _, err := g.monitor.Do(ctx, "migrate-set-parameters", map[string]any{"announce-rounds": 0}); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSnapshot, err)
	}
	if err := g.migrate(ctx, "migrate-incoming", "exec:cat "+Quote(filepath.Join(g.Config.from, snapshotMemory))); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSnapshot, err)
	}
	return nil
}
