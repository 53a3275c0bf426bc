// SPDX-License-Identifier: Apache-2.0

// Package apt reads packages of another Debian suite than the host's.
//
// It runs apt with a configuration of its own, so neither the host's sources nor
// its package lists change, and the packages that the host has installed do not
// count. Nothing is installed: packages are downloaded, authenticated by apt, and
// unpacked into a directory.
package apt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
)

// MirrorVariable names the environment variable with the address of a Debian
// mirror, for hosts whose own sources have none.
const MirrorVariable = "ALPS_DEBIAN_MIRROR"

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// ErrNoMirror means that neither MirrorVariable nor the host's sources name a Debian mirror.
var ErrNoMirror = errors.New("apt: no Debian mirror among this host's sources: set " + MirrorVariable + " to the address of one")

// ErrRenewed means that the mirror no longer had a package that the lists in the
// cache named. The lists have been downloaded anew: look the package up again (Again).
var ErrRenewed = errors.New("apt: the package lists had to be renewed; try again")

// Again calls do, and once more if do returns ErrRenewed. do must look its packages
// up itself: their versions may be others the second time.
func Again[T any](do func() (T, error)) (T, error) {
	v, err := do()
	if errors.Is(err, ErrRenewed) {
		v, err = do()
	}
	return v, err
}

// Suite is a release of Debian, such as trixie, with its package lists.
type Suite struct {
	name string
	dir  string
}

func (s Suite) sources() string { return filepath.Join(s.dir, "sources") }
func (s Suite) lists() string   { return filepath.Join(s.dir, "lists") }

// Open returns the suite called name. Its package lists are downloaded once
// and kept in the cache. Without a mirror the error is ErrNoMirror.
func Open(ctx context.Context, name string) (Suite, error) { return open(ctx, name, false) }

// renew downloads the suite's package lists anew. The old ones stay until the new ones
// are whole.
func (s *Suite) renew(ctx context.Context) error {
	renewed, err := open(ctx, s.name, true)
	if err == nil {
		*s = renewed
	}
	return err
}

// open returns the suite called name, with anew with lists that are downloaded now.
func open(ctx context.Context, name string, anew bool) (Suite, error) {
	mirror, err := mirror(ctx)
	if err != nil {
		return Suite{}, err
	}
	key, err := digest.New("apt/1").Str("suite", name).Str("mirror", mirror).Sum()
	if err != nil {
		return Suite{}, err
	}
	e, err := cache.Make(ctx, "apt", key, anew, func(ctx context.Context, dir string) error {
		s := Suite{name, dir}
		for _, sub := range []string{s.sources(), filepath.Join(s.lists(), "partial")} {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		sources := fmt.Sprintf("Types: deb deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n", mirror, name, keyring)
		if err := os.WriteFile(filepath.Join(s.sources(), "debian.sources"), []byte(sources), 0o644); err != nil {
			return err
		}
		_, err := s.output(ctx, dir, "apt-get", "-q", "update")
		return err
	})
	if err != nil {
		return Suite{}, fmt.Errorf("apt: package lists of %s: %w", name, err)
	}
	return Suite{name, e.Dir}, nil
}

// mirror is the address of Debian's packages: that in MirrorVariable, else the one
// in the host's own sources.
func mirror(ctx context.Context) (string, error) {
	if m := os.Getenv(MirrorVariable); m != "" {
		return m, nil
	}
	out, err := command.Output(ctx, command.Cmd{Args: []string{"apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"}})
	if err != nil {
		return "", fmt.Errorf("apt: %w", err)
	}
	if m := debianURI(string(out)); m != "" {
		return m, nil
	}
	return "", ErrNoMirror
}

// debianURI finds Debian's own repository in lines of address and label.
func debianURI(targets string) string {
	for line := range strings.Lines(targets) {
		if uri, label, _ := strings.Cut(strings.TrimSpace(line), " "); label == "Debian" {
			return uri
		}
	}
	return ""
}

// Source is a source package.
type Source struct {
	Name    string
	Version string
}

// Source finds the newest source package called name in the package lists.
func (s Suite) Source(ctx context.Context, name string) (Source, error) {
	out, err := s.output(ctx, os.TempDir(), "apt-cache", "showsrc", "--only-source", name)
	if err != nil {
		return Source{}, err
	}
	version := newestVersion(ctx, string(out))
	if version == "" {
		return Source{}, fmt.Errorf("apt: %s has no source package %s", s.name, name)
	}
	return Source{name, version}, nil
}

// newestVersion is the highest version in stanzas of a package list, which apt prints in any order; empty if
// there is none.
func newestVersion(ctx context.Context, stanzas string) (newest string) {
	for line := range strings.Lines(stanzas) {
		v, ok := strings.CutPrefix(line, "Version: ")
		if v = strings.TrimSpace(v); ok && (newest == "" || newer(ctx, v, newest)) {
			newest = v
		}
	}
	return newest
}

// Unpack downloads src and unpacks it, with Debian's patches, into dir, which
// must not exist. The error is ErrRenewed if the mirror has src no longer.
func (s Suite) Unpack(ctx context.Context, src Source, dir string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), "source")
	if err != nil {
		return fmt.Errorf("apt: %w", err)
	}
	defer os.RemoveAll(work)
	spec := src.Name + "=" + src.Version
	if err := s.download(ctx, work, "apt-get", "-q", "source", "--download-only", "--only-source", spec); err != nil {
		return err
	}
	descriptions, err := filepath.Glob(filepath.Join(work, "*.dsc"))
	if err != nil || len(descriptions) != 1 {
		return fmt.Errorf("apt: download %s: %d descriptions came", spec, len(descriptions))
	}
	// apt has checked what it downloaded.
	return command.Run(ctx, command.Cmd{Args: []string{"dpkg-source", "--no-check", "-x", descriptions[0], dir}})
}

// UnpackBinary downloads the binary packages called names (NAME or
// NAME=VERSION) and unpacks their files into dir. The error is ErrRenewed if the
// mirror has one of them no longer.
func (s Suite) UnpackBinary(ctx context.Context, dir string, names ...string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), "binary")
	if err != nil {
		return fmt.Errorf("apt: %w", err)
	}
	defer os.RemoveAll(work)
	if err := s.download(ctx, work, "apt-get", append([]string{"-q", "download"}, names...)...); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(packages) != len(names) {
		return fmt.Errorf("apt: download %s: %d packages came", strings.Join(names, " "), len(packages))
	}
	for _, p := range packages {
		if err := command.Run(ctx, command.Cmd{Args: []string{"dpkg-deb", "-x", p, dir}}); err != nil {
			return err
		}
	}
	return nil
}

// download runs apt in dir, a second time with new package lists if it fails:
// a mirror drops a version when the next one comes.
func (s Suite) download(ctx context.Context, dir string, program string, args ...string) error {
	_, err := s.output(ctx, dir, program, args...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if renewErr := s.renew(ctx); renewErr != nil {
		return errors.Join(err, renewErr)
	}
	if _, err := s.output(ctx, dir, program, args...); err != nil {
		return fmt.Errorf("%w (%s): %w", ErrRenewed, s.name, err)
	}
	return nil
}

// output runs a program of apt's in dir with the suite's lists instead of the
// host's.
func (s Suite) output(ctx context.Context, dir string, program string, args ...string) ([]byte, error) {
	line := []string{program}
	for _, option := range []string{
		"Dir::Etc::SourceList=/dev/null",
		"Dir::Etc::SourceParts=" + s.sources(),
		"Dir::State::Lists=" + s.lists(),
		"Dir::State::status=/dev/null",
		"Dir::Cache=" + dir,
		"Dir::Cache::Archives=" + dir,
		"Dir::Cache::PkgCache=", "Dir::Cache::SrcPkgCache=",
		"APT::Architecture=amd64",
		"APT::Sandbox::User=", // apt's own user may not read the cache
		"Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"Debug::NoLocking=true",
	} {
		line = append(line, "-o", option)
	}
	return command.Output(ctx, command.Cmd{Args: append(line, args...), Dir: dir})
}
