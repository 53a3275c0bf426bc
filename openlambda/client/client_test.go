// SPDX-License-Identifier: Apache-2.0

package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A redirect is the function's answer: Invoke does not take another page's for it.
func TestRedirectIsAnError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/run/moved" {
			http.Redirect(w, r, "/run/fib", http.StatusFound)
			return
		}
		io.WriteString(w, "55\n7 1.5 0.25 9 10 fib\n")
	}))
	defer srv.Close()
	r, err := Invoke(t.Context(), srv.Client(), srv.URL, "fib", Request{N: "10"})
	require.NoError(t, err)
	require.Equal(t, "7", r.ID)
	_, err = Invoke(t.Context(), srv.Client(), srv.URL, "moved", Request{N: "10"})
	require.ErrorContains(t, err, "invoke moved: 302 Found")
}
