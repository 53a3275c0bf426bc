// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/sourcetree"
)

// gitProbe is how long a git server may take to say that it has a tag.
const gitProbe = 20 * time.Second

// origin is a source that can be reached: what identifies it and how to get it.
type origin struct {
	id     string // content identity: commit, package version, tree digest
	unpack func(ctx context.Context, dir string) error
}

// locate finds the first source of k that can be reached, or takes the tree src unless
// that is "". A git source is identified by its commit, so one of which cached says
// that it was built before needs no network.
func locate(ctx context.Context, k Kernel, src string, cached func(id string) bool) (origin, error) {
	if src != "" {
		return localTree(src)
	}
	var errs []error
	for _, s := range k.Sources {
		o, err := s.locate(ctx, cached)
		if err == nil {
			return o, nil
		}
		if ctx.Err() != nil {
			return origin{}, ctx.Err()
		}
		errs = append(errs, err)
	}
	return origin{}, fmt.Errorf("kernel %s: %w:\n%w\n(a local tree can be given by -src=DIR)", k.Name.V, ErrUnavailable, errors.Join(errs...))
}

func (s Source) locate(ctx context.Context, cached func(id string) bool) (origin, error) {
	if s.Package.V != "" {
		return s.locatePackage(ctx)
	}
	o := origin{id: "git " + s.Commit.V, unpack: s.unpackGit}
	if cached(o.id) {
		return o, nil
	}
	probe, cancel := context.WithTimeout(ctx, gitProbe)
	defer cancel()
	_, err := command.Output(probe, command.Cmd{
		Args: []string{"git", "ls-remote", "--exit-code", s.Git.V, "refs/tags/" + s.Tag.V},
		Env:  []string{"GIT_TERMINAL_PROMPT=0"},
	})
	if err != nil {
		return origin{}, fmt.Errorf("%s: %w", s.Git.V, err)
	}
	return o, nil
}

func (s Source) unpackGit(ctx context.Context, dir string) error {
	git := func(args ...string) ([]byte, error) {
		return command.Output(ctx, command.Cmd{Args: append([]string{"git", "-C", dir}, args...), Env: []string{"GIT_TERMINAL_PROMPT=0"}})
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"fetch", "-q", "--depth=1", s.Git.V, "refs/tags/" + s.Tag.V},
	} {
		if _, err := git(args...); err != nil {
			return err
		}
	}
	head, err := git("rev-parse", "FETCH_HEAD^{commit}")
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(head)); got != s.Commit.V {
		return fmt.Errorf("%s: tag %s is commit %s, kernels.yaml wants %s", s.Git.V, s.Tag.V, got, s.Commit.V)
	}
	if _, err := git("-c", "advice.detachedHead=false", "checkout", "-q", "FETCH_HEAD"); err != nil {
		return err
	}
	// Without the repository setlocalversion adds nothing to the release.
	return os.RemoveAll(filepath.Join(dir, ".git"))
}

// locatePackage asks apt which version it would install.
func (s Source) locatePackage(ctx context.Context) (origin, error) {
	version, sum := aptVersion(ctx, s.Package.V)
	if version == "" && os.Geteuid() == 0 {
		// A newly installed host has no package lists yet.
		_ = command.Run(ctx, command.Cmd{Args: []string{"apt-get", "-q", "update"}})
		version, sum = aptVersion(ctx, s.Package.V)
	}
	if version == "" {
		release, _ := os.ReadFile("/etc/os-release")
		return origin{}, noPackage(s.Package.V, string(release))
	}
	spec := s.Package.V + "=" + version
	return origin{
		id: "package " + spec + " sha256 " + sum,
		unpack: func(ctx context.Context, dir string) error {
			return unpackPackage(ctx, s.Package.V, spec, dir)
		},
	}, nil
}

// noPackage says what to do about a source package that apt does not know.
// release is /etc/os-release.
func noPackage(pkg, release string) error {
	if regexp.MustCompile(`(?m)^ID=debian$`).MatchString(release) {
		return fmt.Errorf("package %s: apt knows no such package (try apt-get update)", pkg)
	}
	name := "this distribution"
	if m := regexp.MustCompile(`(?m)^PRETTY_NAME="?([^"\n]*)`).FindStringSubmatch(release); m != nil {
		name = m[1]
	}
	series := strings.TrimPrefix(pkg, "linux-source-")
	return fmt.Errorf("package %s: it is Debian's, and %s has none of that name: git clone --depth=1 --branch=linux-%s.y https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git linux-%[3]s, then -src=linux-%[3]s",
		pkg, name, series)
}

func aptVersion(ctx context.Context, pkg string) (version, sha256 string) {
	out, err := command.Output(ctx, command.Cmd{Args: []string{"apt-cache", "show", "--no-all-versions", pkg}})
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok && version == "" {
			version = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "SHA256: "); ok && sha256 == "" {
			sha256 = strings.TrimSpace(v)
		}
	}
	return version, sha256
}

// unpackPackage lets apt download and authenticate spec, and unpacks the
// tarball in it. Nothing is installed.
func unpackPackage(ctx context.Context, pkg, spec, dir string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), "deb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := command.Run(ctx, command.Cmd{Args: []string{"apt-get", "-q", "download", spec}, Dir: work}); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("download %s: %d packages came", spec, len(debs))
	}
	if err := command.Run(ctx, command.Cmd{Args: []string{"dpkg-deb", "-x", debs[0], work}}); err != nil {
		return err
	}
	return command.Run(ctx, command.Cmd{Args: []string{
		"tar", "-xf", filepath.Join(work, "usr/src", pkg+".tar.xz"), "-C", dir, "--strip-components=1"}})
}

// localTree is the user's tree at src. It is copied, never written to.
func localTree(src string) (origin, error) {
	t, err := sourcetree.Open(src, "kernel/sched/fair.c")
	if err != nil {
		return origin{}, err
	}
	return origin{id: "tree " + t.Digest, unpack: t.Copy}, nil
}

var versionRE = regexp.MustCompile(`(?m)^VERSION = ([0-9]+)\nPATCHLEVEL = ([0-9]+)$`)

// checkCFS refuses a tree that has no CFS to hook into.
func checkCFS(tree string) error {
	data, err := os.ReadFile(filepath.Join(tree, "Makefile"))
	if err != nil {
		return fmt.Errorf("read the source's version: %w", err)
	}
	m := versionRE.FindStringSubmatch(string(data))
	if m == nil {
		return fmt.Errorf("source: the Makefile does not tell the kernel's version")
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return fmt.Errorf("read the source's version: %w", err)
	}
	minor, err := strconv.Atoi(m[2])
	if err != nil {
		return fmt.Errorf("read the source's version: %w", err)
	}
	if major > 6 || major == 6 && minor >= 6 {
		return fmt.Errorf("source: Linux %d.%d schedules by EEVDF, which replaced CFS in 6.6: its order is by virtual deadlines and lag, "+
			"not by the vruntime that the hooks replace; take a tree from 5.18 to 6.5", major, minor)
	}
	return nil
}
