// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// requestHeader carries a request's id to the function and to the client; logs have the id, too.
const requestHeader = "X-Request-Id"

// hop are the headers that concern one connection (RFC 9110, 7.6.1), and Expect,
// which net/http has answered already.
var hop = map[string]bool{"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Expect": true}

var (
	idPrefix = func() string {
		var b [4]byte
		_, _ = rand.Read(b[:])
		return hex.EncodeToString(b[:]) + "-"
	}()
	lastID atomic.Uint64
)

// requestID is the client's id for a request if that can stand in a line of a
// log, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get(requestHeader)
	if id != "" && len(id) <= 128 && strings.IndexFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) < 0 {
		return id
	}
	return idPrefix + strconv.FormatUint(lastID.Add(1), 10)
}

// traceID is the trace's id of a W3C traceparent, "" without one.
func traceID(r *http.Request) string {
	p := r.Header.Get("Traceparent")
	if len(p) < 55 || p[2] != '-' || p[35] != '-' {
		return ""
	}
	return p[3:35]
}

// copyHeader copies the headers but those of hop and those that Connection names.
func copyHeader(to, from http.Header) {
	var named []string
	if c := from["Connection"]; c != nil {
		named = strings.Split(strings.Join(c, ","), ",")
	}
	for k, v := range from {
		if !hop[k] {
			to[k] = v
		}
	}
	for _, name := range named {
		if name = strings.TrimSpace(name); name != "" {
			delete(to, http.CanonicalHeaderKey(name))
		}
	}
}

// outgoing is the request as the function gets it: the client's method, path,
// query, host and headers.
func (c *call) outgoing() *http.Request {
	h := make(http.Header, len(c.r.Header)+1)
	copyHeader(h, c.r.Header)
	h[requestHeader] = []string{c.id}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // none, not net/http's
	}
	host := c.r.Host
	if host == "" {
		host = "localhost"
	}
	u := c.r.URL
	return &http.Request{Method: c.r.Method, Host: host, Header: h,
		URL: &url.URL{Scheme: "http", Host: host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}}
}

// keep is the longest answer of a failing function, in bytes, whose last line is logged.
const keep = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// pass hands a function's answer to the client: status, headers and body. If the
// answer has no Content-Length, each part is sent on as soon as it comes.
func (c *call) pass(resp *http.Response) error {
	copyHeader(c.rw.Header(), resp.Header)
	c.rw.Header()[requestHeader] = []string{c.id}
	if resp.StatusCode >= 500 && resp.ContentLength > 0 && resp.ContentLength <= keep && c.r.Method != http.MethodHead {
		text, err := io.ReadAll(resp.Body)
		c.said = lastLine(text)
		c.rw.WriteHeader(resp.StatusCode)
		if _, writeErr := c.rw.Write(text); err == nil {
			err = writeErr
		}
		return err
	}
	c.rw.WriteHeader(resp.StatusCode)
	if resp.ContentLength >= 0 {
		_, err := io.Copy(c.rw, resp.Body)
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	control := http.NewResponseController(c.rw)
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if _, err := c.rw.Write((*buf)[:n]); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lastLine is the last line of text, up to 500 bytes: there a traceback names the exception.
func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	line := text[bytes.LastIndexByte(text, '\n')+1:]
	return string(line[:min(len(line), 500)])
}
