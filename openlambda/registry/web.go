// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// validator is what a web server said about a version; with it the next request asks
// whether that version is still current (RFC 9110, 13.1).
type validator struct {
	etag, modified string
	version        string
}

func (r *Registry) pullURL(ctx context.Context, url, name, have string) (Code, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Code{}, err
	}
	r.mu.Lock()
	pin := r.pins[url]
	r.mu.Unlock()
	if pin.version == have && have != "" {
		if pin.etag != "" {
			req.Header.Set("If-None-Match", pin.etag)
		}
		if pin.modified != "" {
			req.Header.Set("If-Modified-Since", pin.modified)
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return Code{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusNotFound:
		return Code{}, ErrNotFound
	case resp.StatusCode == http.StatusNotModified && have != "":
		return Code{Version: have}, nil
	default:
		return Code{}, fmt.Errorf("%s: %s", url, resp.Status)
	}
	// Downloaded to a file first: only a whole download becomes code.
	f, err := os.CreateTemp(r.out, "download-")
	if err != nil {
		return Code{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	h := sha256.New()
	if _, err := copyAtMost(io.MultiWriter(f, h), resp.Body, maxBytes); err != nil {
		return Code{}, fmt.Errorf("%s: %w", url, err)
	}
	version := hex.EncodeToString(h.Sum(nil))
	r.mu.Lock()
	r.pins[url] = validator{resp.Header.Get("ETag"), resp.Header.Get("Last-Modified"), version}
	r.mu.Unlock()
	if version == have {
		return Code{Version: have}, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Code{}, err
	}
	return r.make(name, version, func(dir string) error { return install(dir, filepath.Base(url), f) })
}
