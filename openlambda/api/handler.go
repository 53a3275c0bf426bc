// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Handler answers the worker's paths. only, if not nil, restricts /run to one function.
func (w *Worker) Handler(only *config.Function) http.Handler {
	mux := http.NewServeMux()
	show := func(rw http.ResponseWriter, v any) {
		rw.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(rw)
		enc.SetIndent("", "\t")
		enc.Encode(v)
	}
	mux.HandleFunc("/status", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ready\n") })
	mux.HandleFunc("/pid", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, os.Getpid()) })
	mux.HandleFunc("/stats", func(rw http.ResponseWriter, _ *http.Request) { show(rw, w.stats.Snapshot()) })
	mux.HandleFunc("/functions", func(rw http.ResponseWriter, _ *http.Request) { show(rw, w.pool.List()) })
	mux.HandleFunc("/debug", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, w.pool.Debug()) })
	mux.Handle("/metrics", promhttp.HandlerFor(w.stats.Registry, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// ServeMux would redirect paths with .. or //; the function gets its path as sent.
		if strings.HasPrefix(r.URL.Path, "/run/") {
			w.serve(rw, r, only, false)
			return
		}
		mux.ServeHTTP(rw, r)
	})
}
