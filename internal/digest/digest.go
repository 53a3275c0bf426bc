// SPDX-License-Identifier: Apache-2.0

// Package digest names things by their content.
//
// A Digest is a list of (name, value) pairs under a domain. Pairs are length
// prefixed before they are hashed, so two different lists never share a sum.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// Digest accumulates pairs. Its first error is kept and returned by Sum, so
// calls chain.
type Digest struct {
	h   hash.Hash
	err error
}

// New starts a digest. The domain keeps keys of different kinds apart, and
// changes when the meaning of the pairs does ("kernel/2").
func New(domain string) *Digest {
	d := &Digest{h: sha256.New()}
	return d.Str("domain", domain)
}

// Str adds a value.
func (d *Digest) Str(name, value string) *Digest {
	fmt.Fprintf(d.h, "%d:%s=%d:%s;", len(name), name, len(value), value)
	return d
}

// File adds the content of the file at path; the path itself does not count.
func (d *Digest) File(name, path string) *Digest {
	f, err := os.Open(path)
	if err != nil {
		d.fail(fmt.Errorf("digest of %s: %w", name, err))
		return d
	}
	defer f.Close()
	return d.reader(name, f)
}

// Dir adds every regular file and symbolic link below root, by relative name,
// executable bit and content, in name order.
func (d *Digest) Dir(name, root string) *Digest {
	if _, err := os.Stat(root); err != nil {
		d.fail(fmt.Errorf("digest of %s: %w", name, err))
		return d
	}
	return d.FS(name, os.DirFS(root))
}

// FS adds every regular file and symbolic link of fsys, as Dir does.
func (d *Digest) FS(name string, fsys fs.FS) *Digest {
	err := fs.WalkDir(fsys, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		entry := name + "/" + path
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := fs.ReadLink(fsys, path)
			if err != nil {
				return err
			}
			d.Str(entry+"@", target)
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		if info.Mode()&0o111 != 0 {
			entry += "*"
		}
		f, err := fsys.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		d.reader(entry, f)
		return nil
	})
	if err != nil {
		d.fail(fmt.Errorf("digest of %s: %w", name, err))
	}
	return d
}

// Sum returns 64 hexadecimal digits, or the first error met on the way.
func (d *Digest) Sum() (string, error) {
	if d.err != nil {
		return "", d.err
	}
	return hex.EncodeToString(d.h.Sum(nil)), nil
}

func (d *Digest) reader(name string, r io.Reader) *Digest {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		d.fail(fmt.Errorf("digest of %s: %w", name, err))
		return d
	}
	return d.Str(name, hex.EncodeToString(h.Sum(nil)))
}

func (d *Digest) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}
