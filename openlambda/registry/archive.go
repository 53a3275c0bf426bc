// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Bounds on one function: bytes of its files, and members of its archive.
const (
	maxBytes   = 256 << 20
	maxMembers = 20_000
)

// install puts the function that r holds into dir. name is its file's in the registry.
func install(dir, name string, r io.Reader) error {
	if strings.HasSuffix(name, ".tar.gz") {
		return extract(dir, r)
	}
	f, err := os.Create(filepath.Join(dir, "f.py"))
	if err != nil {
		return err
	}
	_, err = copyAtMost(f, r, maxBytes)
	return errors.Join(err, f.Close())
}

// copyAtMost is io.Copy for which more than limit bytes are an error.
func copyAtMost(w io.Writer, r io.Reader, limit int64) (int64, error) {
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("larger than %d MiB", maxBytes>>20)
	}
	return n, err
}

// extract unpacks a .tar.gz of files and directories. A member that would lie
// outside of dir is refused, and so are links and devices.
func extract(dir string, r io.Reader) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("not a .tar.gz: %w", err)
	}
	// A second guard: os.Root refuses every name that leads out of this directory.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tr := tar.NewReader(zr)
	left := int64(maxBytes)
	for members := 0; ; members++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not a .tar.gz: %w", err)
		}
		name := path.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("member %q: leads out of the archive", h.Name)
		}
		if members == maxMembers {
			return fmt.Errorf("more than %d members", maxMembers)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			var n int64
			n, err = extractFile(root, name, tr, h.FileInfo().Mode()&0o755|0o444, left)
			left -= n
		case tar.TypeXGlobalHeader:
		default:
			return fmt.Errorf("member %q: neither a file nor a directory", h.Name)
		}
		if err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
	}
}

func extractFile(root *os.Root, name string, r io.Reader, mode os.FileMode, limit int64) (int64, error) {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return 0, err
		}
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	n, err := copyAtMost(f, r, limit)
	return n, errors.Join(err, f.Close())
}
