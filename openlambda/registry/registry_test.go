// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const code = "def f(event):\n    return event\n"

type member struct {
	name, text string
	kind       byte
	link       string
}

func archive(t testing.TB, members ...member) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for _, m := range members {
		if m.kind == 0 {
			m.kind = tar.TypeReg
		}
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: m.name, Typeflag: m.kind, Linkname: m.link, Size: int64(len(m.text)), Mode: 0o644}))
		_, err := tw.Write([]byte(m.text))
		require.NoError(t, err)
	}
	require.NoError(t, tw.Close())
	require.NoError(t, zw.Close())
	return b.Bytes()
}

func directory(t testing.TB) (*Registry, string) {
	dir := t.TempDir()
	return New(dir, t.TempDir()), dir
}

func put(t testing.TB, dir, name string, data []byte) {
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

func content(t testing.TB, c Code, name string) string {
	data, err := os.ReadFile(filepath.Join(c.Dir, name))
	require.NoError(t, err)
	return string(data)
}

func TestForms(t *testing.T) {
	r, dir := directory(t)
	put(t, dir, "a.py", []byte(code))
	put(t, dir, "b/f.py", []byte(code))
	put(t, dir, "b/lib/x.py", []byte("x = 1\n"))
	put(t, dir, "c.tar.gz", archive(t, member{name: "lib/", kind: tar.TypeDir}, member{name: "./f.py", text: code}, member{name: "lib/x.py", text: "x = 1\n"}))
	put(t, dir, "c.py", []byte("# the archive goes first"))
	for _, name := range []string{"a", "b", "c"} {
		c, err := r.Pull(t.Context(), name, "")
		require.NoError(t, err, name)
		require.Equal(t, code, content(t, c, "f.py"))
		require.Contains(t, filepath.Base(c.Dir), "-"+name)
		if name != "a" {
			require.Equal(t, "x = 1\n", content(t, c, "lib/x.py"))
		}
	}
	_, err := r.Pull(t.Context(), "d", "")
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "lambda not found at any of these locations: "+dir+"/d.tar.gz, "+dir+"/d.py, "+dir+"/d")
	put(t, dir, "e/g.py", nil)
	_, err = r.Pull(t.Context(), "e", "")
	require.ErrorContains(t, err, "lambda e: no f.py in it")
}

func TestUnchangedCodeIsNotPulledAgain(t *testing.T) {
	r, dir := directory(t)
	for name, change := range map[string]string{"a": "a.py", "b": "b/f.py", "c": "c/lib.py"} {
		put(t, dir, strings.TrimPrefix(name, "a")+"/f.py", []byte(code))
		put(t, dir, change, []byte(code))
		first, err := r.Pull(t.Context(), name, "")
		require.NoError(t, err)
		again, err := r.Pull(t.Context(), name, first.Version)
		require.NoError(t, err)
		require.Equal(t, Code{Version: first.Version}, again)
		// Only the time differs.
		require.NoError(t, os.Chtimes(filepath.Join(dir, change), time.Time{}, time.Unix(1e9, 0)))
		changed, err := r.Pull(t.Context(), name, first.Version)
		require.NoError(t, err)
		require.NotEqual(t, first.Version, changed.Version)
		require.NotEqual(t, first.Dir, changed.Dir)
	}
}

// A function in the registry may be a symbolic link; a change of the file or directory to
// which it leads is seen.
func TestLinks(t *testing.T) {
	r, dir := directory(t)
	put(t, dir, "real/f.py", []byte(code))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "a")))
	require.NoError(t, os.Symlink("real/f.py", filepath.Join(dir, "b.py")))
	for _, name := range []string{"a", "b"} {
		c, err := r.Pull(t.Context(), name, "")
		require.NoError(t, err)
		put(t, dir, "real/f.py", []byte(code+"# by "+name))
		next, err := r.Pull(t.Context(), name, c.Version)
		require.NoError(t, err)
		require.Equal(t, code+"# by "+name, content(t, next, "f.py"))
	}
}

func TestNamesThatArePaths(t *testing.T) {
	r, dir := directory(t)
	put(t, filepath.Dir(dir), "outside.py", []byte(code))
	for _, name := range []string{"", ".", "..", "../outside", "a/b", "/etc/passwd", "a\x00b", "a b", strings.Repeat("x", 200)} {
		_, err := r.Pull(t.Context(), name, "")
		require.ErrorContains(t, err, "bad lambda name '"+name+"', can only contain letters, numbers, period, dash, and underscore", name)
	}
}

func TestArchiveMembersThatLeadOut(t *testing.T) {
	r, dir := directory(t)
	for name, m := range map[string]member{
		"absolute":    {name: "/tmp/evil", text: "x"},
		"up":          {name: "../evil", text: "x"},
		"hidden-up":   {name: "a/../../evil", text: "x"},
		"symlink":     {name: "f", kind: tar.TypeSymlink, link: "/etc"},
		"hardlink":    {name: "f", kind: tar.TypeLink, link: "/etc/passwd"},
		"device":      {name: "f", kind: tar.TypeChar},
		"fifo":        {name: "f", kind: tar.TypeFifo},
		"twice":       {name: "f.py", text: "x"},
		"file-as-dir": {name: "f.py/x", text: "x"},
	} {
		put(t, dir, name+".tar.gz", archive(t, member{name: "f.py", text: code}, m))
		_, err := r.Pull(t.Context(), name, "")
		require.ErrorContains(t, err, "lambda "+name+": member", name)
	}
	left, err := os.ReadDir(r.out)
	require.NoError(t, err)
	require.Empty(t, left, "nothing half is left")
}

func TestBrokenArchives(t *testing.T) {
	r, dir := directory(t)
	whole := archive(t, member{name: "f.py", text: strings.Repeat(code, 1000)})
	for name, data := range map[string][]byte{"empty": nil, "noise": []byte("not gzip"), "cut": whole[:len(whole)/2]} {
		put(t, dir, name+".tar.gz", data)
		_, err := r.Pull(t.Context(), name, "")
		require.ErrorContains(t, err, map[string]string{"empty": "not a .tar.gz: EOF", "noise": "not a .tar.gz", "cut": "unexpected EOF"}[name])
	}
	put(t, dir, "nothing.tar.gz", archive(t))
	_, err := r.Pull(t.Context(), "nothing", "")
	require.ErrorContains(t, err, "no f.py in it")
}

// Names and schedules are read without the code; an ol.yaml that changed is read again.
func TestNamesAndPeek(t *testing.T) {
	r, dir := directory(t)
	const yaml = "triggers:\n  cron:\n    - schedule: \"@every 1m\"\n"
	put(t, dir, "a.py", []byte(code))
	put(t, dir, "b/f.py", []byte(code))
	put(t, dir, "b/ol.yaml", []byte(yaml))
	put(t, dir, "c.tar.gz", archive(t, member{name: "./ol.yaml", text: yaml}, member{name: "f.py", text: code}))
	put(t, dir, "c/f.py", []byte(code))
	put(t, dir, "bad/ol.yaml", []byte("x: 1\n"))
	put(t, dir, "notes.txt", nil)
	names, err := r.Names()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "bad", "c"}, names)
	for name, crons := range map[string]int{"a": 0, "b": 1, "c": 1} {
		f, version, err := r.Peek(name, "")
		require.NoError(t, err, name)
		require.Len(t, f.Cron, crons, name)
		again, same, err := r.Peek(name, version)
		require.NoError(t, err)
		require.Equal(t, version, same)
		require.Empty(t, again.Cron, "nothing is read")
	}
	_, before, _ := r.Peek("b", "")
	put(t, dir, "b/ol.yaml", []byte("environment:\n  A: b\n"))
	f, after, err := r.Peek("b", before)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	require.Empty(t, f.Cron)
	put(t, dir, "long.tar.gz", archive(t, member{name: "ol.yaml", text: yaml + strings.Repeat("#", 1<<20)}))
	f, _, err = r.Peek("long", "")
	require.ErrorContains(t, err, "ol.yaml: larger than 1 MiB")
	require.Empty(t, f.Cron)
	_, _, err = r.Peek("bad", "")
	require.ErrorContains(t, err, "ol.yaml:1:1: x: no such key")
	_, _, err = r.Peek("none", "")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = New("http://localhost/x", "").Names()
	require.ErrorIs(t, err, ErrNoList)
}

func TestWeb(t *testing.T) {
	var mu sync.Mutex
	files := map[string][]byte{"/reg/a.py": []byte(code), "/reg/b.tar.gz": archive(t, member{name: "f.py", text: code})}
	changed := time.Unix(1e9, 0)
	var statuses []int
	down := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		data, ok := files[r.URL.Path]
		rec := &recorder{ResponseWriter: w, status: 200}
		switch {
		case down:
			rec.WriteHeader(http.StatusServiceUnavailable)
		case !ok:
			http.NotFound(rec, r)
		default:
			http.ServeContent(rec, r, "x", changed, bytes.NewReader(data))
		}
		statuses = append(statuses, rec.status)
	}))
	defer srv.Close()
	r := New(srv.URL+"/reg/", t.TempDir())
	for _, name := range []string{"a", "b"} {
		c, err := r.Pull(t.Context(), name, "")
		require.NoError(t, err)
		require.Equal(t, code, content(t, c, "f.py"))
		statuses = nil
		again, err := r.Pull(t.Context(), name, c.Version)
		require.NoError(t, err)
		require.Equal(t, Code{Version: c.Version}, again)
		require.Contains(t, statuses, http.StatusNotModified)
	}
	first, err := r.Pull(t.Context(), "a", "")
	require.NoError(t, err)
	changed = time.Unix(1e9+60, 0)
	same, err := r.Pull(t.Context(), "a", first.Version)
	require.NoError(t, err)
	require.Equal(t, Code{Version: first.Version}, same, "a new date, the same bytes")
	files["/reg/a.py"] = []byte("# new\n" + code)
	changed = time.Unix(1e9+120, 0)
	next, err := r.Pull(t.Context(), "a", first.Version)
	require.NoError(t, err)
	require.Equal(t, "# new\n"+code, content(t, next, "f.py"))

	_, err = r.Pull(t.Context(), "c", "")
	require.ErrorContains(t, err, "lambda not found at any of these locations: "+srv.URL+"/reg/c.tar.gz, "+srv.URL+"/reg/c.py")
	down = true
	_, err = r.Pull(t.Context(), "a", next.Version)
	require.ErrorContains(t, err, "503 Service Unavailable")
	srv.Close()
	_, err = r.Pull(t.Context(), "a", next.Version)
	require.ErrorContains(t, err, "connection refused")
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) { r.status = status; r.ResponseWriter.WriteHeader(status) }

func FuzzArchive(f *testing.F) {
	f.Add(archive(f, member{name: "f.py", text: code}))
	f.Add(archive(f, member{name: "../f.py", text: code}, member{name: "l", kind: tar.TypeSymlink, link: "/"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		require.NoError(t, os.Mkdir(dir, 0o755))
		_ = extract(dir, bytes.NewReader(data))
		around, err := os.ReadDir(outer)
		require.NoError(t, err)
		require.Len(t, around, 1, "nothing lands outside")
	})
}
