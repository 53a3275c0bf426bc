// SPDX-License-Identifier: Apache-2.0

// Package cache keeps directories named by the content of what made them.
//
// An entry is built in a temporary sibling and renamed into place after its
// record, done.json, has been written and synced. An entry without a record,
// or whose files differ from it in name, size or modification time, is torn:
// it is removed and built again, never served.
//
// The cache lives in $ALPS_CACHE, else in the user's cache directory
// ($XDG_CACHE_HOME, else ~/.cache) under "alps". Deleting it is safe while no guest
// runs; only the disks that were kept under a name (kind "disk") do not come again.
package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

const recordName = "done.json"

// Root returns the cache's directory and makes it if need be.
func Root() (string, error) {
	root := os.Getenv("ALPS_CACHE")
	named := root != ""
	if !named {
		dir, err := userCache()
		if err != nil {
			return "", fmt.Errorf("cache: %w (set ALPS_CACHE to a directory you can write)", err)
		}
		root = filepath.Join(dir, "alps")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("cache: %w (set ALPS_CACHE to a directory you can write)", err)
	}
	if err := mark(root, !named); err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	return root, nil
}

// userCache is the user's cache directory. Where HOME is not set, as under some
// service managers, the system knows the user's home.
func userCache() (string, error) {
	if dir, err := os.UserCacheDir(); err == nil {
		return dir, nil
	}
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(u.HomeDir) {
		return "", fmt.Errorf("user %s has no home", u.Username)
	}
	return filepath.Join(u.HomeDir, ".cache"), nil
}

// Dir returns a persistent directory of the given kind that is not keyed, for
// tools that keep their own order (a compiler cache, downloads).
func Dir(kind string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, kind)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache %s: %w", kind, err)
	}
	return dir, nil
}

// Entry is a finished directory. Other processes use it too, so do not write to it.
type Entry struct {
	Dir string
	Hit bool // it was there already
}

// record is done.json.
type record struct {
	Key   string          `json:"key"`
	Files map[string]file `json:"files"`
}

type file struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mod_time"`
	Link    string    `json:"link,omitempty"`
}

// Get returns the entry of the given kind and key, and calls build to fill an
// empty directory if there is no whole one. One process builds at a time;
// others wait for it. If build fails or ctx ends, the error is build's or ctx's,
// and only the lock's file is left behind.
func Get(ctx context.Context, kind, key string, build func(ctx context.Context, dir string) error) (Entry, error) {
	parent, err := Dir(kind)
	if err != nil {
		return Entry{}, err
	}
	dir := filepath.Join(parent, key)
	if whole(dir, key) {
		touch(dir)
		return Entry{Dir: dir, Hit: true}, nil
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return Entry{}, fmt.Errorf("cache %s: %w", kind, err)
	}
	defer unlock()
	if whole(dir, key) { // another process built it while we waited
		return Entry{Dir: dir, Hit: true}, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return Entry{}, fmt.Errorf("cache %s: remove torn entry: %w", kind, err)
	}
	return replace(ctx, kind, key, dir, build)
}

// Make is Get, but with anew it builds the entry even if there is a whole one, which stays
// until the new one is whole; so it is still there after an error.
func Make(ctx context.Context, kind, key string, anew bool, build func(ctx context.Context, dir string) error) (Entry, error) {
	if !anew {
		return Get(ctx, kind, key, build)
	}
	parent, err := Dir(kind)
	if err != nil {
		return Entry{}, err
	}
	dir := filepath.Join(parent, key)
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return Entry{}, fmt.Errorf("cache %s: %w", kind, err)
	}
	defer unlock()
	return replace(ctx, kind, key, dir, build)
}

// replace builds an entry beside dir and puts it in the place of dir. Its caller has the
// entry's lock.
func replace(ctx context.Context, kind, key, dir string, build func(ctx context.Context, dir string) error) (Entry, error) {
	fail := func(err error) (Entry, error) { return Entry{}, fmt.Errorf("cache %s: %w", kind, err) }
	work, old := dir+".partial", dir+".old"
	for _, stale := range []string{work, old} {
		if err := os.RemoveAll(stale); err != nil {
			return fail(fmt.Errorf("remove torn entry: %w", err))
		}
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return fail(err)
	}
	defer os.RemoveAll(work)
	if err := build(ctx, work); err != nil {
		return Entry{}, err
	}
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	if err := seal(work, key); err != nil {
		return fail(err)
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := os.Rename(work, dir); err != nil {
		return fail(err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fail(err)
	}
	return Entry{Dir: dir}, nil
}

// List returns the whole entries of the given kind, in no order.
func List(kind string) ([]Entry, error) {
	parent, err := Dir(kind)
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(parent)
	if err != nil {
		return nil, fmt.Errorf("cache %s: %w", kind, err)
	}
	var list []Entry
	for _, f := range files {
		if dir := filepath.Join(parent, f.Name()); whole(dir, f.Name()) {
			list = append(list, Entry{Dir: dir, Hit: true})
		}
	}
	return list, nil
}

// seal syncs every file of dir to disk, then records them.
func seal(dir, key string) error {
	files, err := list(dir)
	if err != nil {
		return err
	}
	for name, f := range files {
		if f.Link == "" {
			if err := fsync(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	b, err := json.MarshalIndent(record{Key: key, Files: files}, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, recordName), b, 0o644)
}

// whole reports whether dir is exactly what its record says.
func whole(dir, key string) bool {
	b, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return false
	}
	var rec record
	if json.Unmarshal(b, &rec) != nil || rec.Key != key {
		return false
	}
	files, err := list(dir)
	if err != nil || len(files) != len(rec.Files) {
		return false
	}
	for name, f := range files {
		want, ok := rec.Files[name]
		if !ok || want.Size != f.Size || want.Link != f.Link || !want.ModTime.Equal(f.ModTime) {
			return false
		}
	}
	return true
}

func list(dir string) (map[string]file, error) {
	files := map[string]file{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == recordName {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			files[name] = file{Link: target}
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files[name] = file{Size: info.Size(), ModTime: info.ModTime().UTC()}
		return nil
	})
	return files, err
}

func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// touch marks dir as used now: package vm keeps only the snapshots that were used last.
func touch(dir string) {
	now := time.Now()
	_ = os.Chtimes(dir, now, now)
}

// lock takes an exclusive lock on path, waiting until ctx ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// The file stays: removing a lock others may be waiting on would
			// let two of them in.
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another process is building this entry: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
