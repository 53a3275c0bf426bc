// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ds2-lab/alps/openlambda/oltest"

	"github.com/stretchr/testify/require"
)

// FuzzRequest throws paths and bodies at the worker: it answers each with one
// of its statuses, gives the function no other body than was sent, and reads
// nothing outside of the registry.
func FuzzRequest(f *testing.F) {
	c := oltest.Config(f)
	oltest.Handler(f, c, "echo", oltest.Echo)
	oltest.Handler(f, c, "../outside", oltest.Echo)
	var outside = filepath.Join(filepath.Dir(c.Registry), "outside.py")
	require.FileExists(f, outside)
	s := oltest.Serve(f, c, &oltest.Pool{Answer: func(_ *oltest.Sandbox, body string) string { return "<" + body + ">" }})
	routes := s.Handler(nil)
	for _, path := range []string{"/run/echo", "/run/../outside", "/run/%2e%2e%2foutside", "/run/", "/run//", "/run/echo/x", "/status", "/run/a b", "/run/\x00"} {
		f.Add("POST", path, "1")
	}
	f.Add("GET", "/debug", "")
	f.Add("PUT", "/run/echo", strings.Repeat("x", 100))
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || strings.ContainsAny(method, " \r\n\t") || method == "" {
			return
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Method, r.URL = method, u
		rec := httptest.NewRecorder()
		routes.ServeHTTP(rec, r)
		require.True(t, slices.Contains([]int{200, 301, 307, 308, 404, 405, 500}, rec.Code), "%d %s", rec.Code, rec.Body)
		if rec.Code == 200 && strings.HasPrefix(u.Path, "/run/") {
			require.Equal(t, "<"+body+">", rec.Body.String())
			name, _, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/run/"), "/")
			name, err := url.PathUnescape(name)
			require.NoError(t, err)
			require.Equal(t, "echo", name)
		}
		require.LessOrEqual(t, len(s.Pool().All()), 1, "what does not exist is not kept")
	})
}
