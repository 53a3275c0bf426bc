// SPDX-License-Identifier: Apache-2.0

package results

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// names are the files that a result may have, sorted.
var names = []string{csvName, jsonName, slicesName, tableName}

// mostUnpacked is how large a file of an archive may be, in bytes.
const mostUnpacked = 256 << 20

// Pack writes the result in dir as a tar.gz: the same result gives the same bytes.
// The time when the result was written is kept, to the second.
func Pack(dir string, w io.Writer) error {
	res, err := Read(dir) // what cannot be read is not passed on
	if err != nil {
		return err
	}
	written, err := res.Written()
	if err != nil {
		return err
	}
	gz := gzip.NewWriter(w)
	tw := tar.NewWriter(gz)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("results: %w", err)
		}
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: written.Truncate(time.Second), Format: tar.FormatUSTAR}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("results: pack %s: %w", dir, err)
		}
		if _, err := tw.Write(data); err != nil {
			return fmt.Errorf("results: pack %s: %w", dir, err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		return fmt.Errorf("results: pack %s: %w", dir, err)
	}
	return nil
}

// Unpack makes dir, whose name must be the run's key, of what Pack wrote, whole or not at all. Errors name the archive.
func Unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	defer f.Close()
	err = whole(dir, func(tmp string) error {
		gz, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		for tr := tar.NewReader(gz); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if h.Typeflag != tar.TypeReg || !slices.Contains(names, h.Name) || h.Size > mostUnpacked {
				return fmt.Errorf("%q is no file of a result", h.Name)
			}
			path := filepath.Join(tmp, h.Name)
			if err := writeSync(path, func(w io.Writer) error { _, err := io.Copy(w, tr); return err }); err != nil {
				return err
			}
			if err := os.Chtimes(path, h.ModTime, h.ModTime); err != nil {
				return err
			}
		}
		res, err := Read(tmp)
		if err == nil && res.Run.Key != filepath.Base(dir) {
			err = fmt.Errorf("it has the run %s", res.Run.Key)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	return nil
}
