// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/pool"
	"github.com/ds2-lab/alps/openlambda/registry"
	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/stats"
)

// MaxBody bounds a request.
const MaxBody = 8 << 20

// Statuses that are only counted: nobody is left to answer, or the answer had
// begun and cannot be taken back.
const (
	statusClientGone = 499
	statusBrokeOff   = 598
)

// Handler is the worker's paths. only restricts /run to one function.
func (w *Worker) Handler(only *config.Function) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ready\n") })
	mux.HandleFunc("/pid", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, os.Getpid()) })
	mux.HandleFunc("/stats", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(rw)
		enc.SetIndent("", "\t")
		enc.Encode(w.stats.Snapshot())
	})
	mux.HandleFunc("/debug", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, w.pool.Debug()) })
	mux.Handle("/metrics", promhttp.HandlerFor(w.stats.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/run/", func(rw http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		var spent elsewhere
		name, status := w.run(rw, r, only, &spent)
		took := w.stats.Since(stats.Request, begun)
		w.stats.Overhead.Observe((took - spent.waited - spent.served).Seconds())
		w.stats.Invocations.WithLabelValues(name, strconv.Itoa(status)).Inc()
		if status == statusBrokeOff {
			panic(http.ErrAbortHandler) // that is how the client hears of it
		}
	})
	return mux
}

// elsewhere is the part of a request's time that is not the worker's.
type elsewhere struct {
	waited time.Duration // for an instance
	served time.Duration // by the instance
}

// run answers one request to /run/NAME. It returns the function's name, "" if
// there is none, and the status.
func (w *Worker) run(rw http.ResponseWriter, r *http.Request, only *config.Function, spent *elsewhere) (string, int) {
	fail := func(name string, status int, text string) (string, int) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		rw.WriteHeader(status)
		io.WriteString(rw, text+"\n")
		return name, status
	}
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		return fail("", http.StatusMethodNotAllowed, "POST only")
	}
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/run/"), "/")
	if name == "" || strings.Contains(name, "/") {
		return fail("", http.StatusInternalServerError, "expected invocation format: /run/<lambda-name>")
	}
	id, err := w.find(name, only)
	if err != nil {
		return fail("", http.StatusInternalServerError, err.Error())
	}
	body, err := readBody(rw, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return fail("", http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d MiB", MaxBody>>20))
	case err != nil:
		return fail("", http.StatusBadRequest, err.Error())
	}
	f, err := w.pool.Pulled(r.Context(), id)
	if err != nil {
		if w.pool.Forget(f) {
			name = "" // there is no such function; metrics do not count what was tried
		}
		return fail(name, http.StatusInternalServerError, err.Error())
	}
	begun := time.Now()
	status, err := w.invoke(rw, r, f, body, spent)
	w.stats.Since(stats.Invoke, begun)
	if err != nil && status < statusBrokeOff && status != statusClientGone {
		return fail(name, status, err.Error())
	}
	return name, status
}

func readBody(rw http.ResponseWriter, r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, MaxBody)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(rw, r.Body, MaxBody))
	return b.Bytes(), err
}

// find maps a name to the port's own function, a configured one, or one of the
// registry.
func (w *Worker) find(name string, only *config.Function) (config.Function, error) {
	if only != nil {
		if name != only.Name {
			return config.Function{}, fmt.Errorf("%w: %s: port %s serves %s", registry.ErrNotFound, name, only.Port, only.Name)
		}
		return *only, nil
	}
	for _, f := range w.config.Functions {
		if f.Name == name {
			return f, nil
		}
	}
	return config.Function{Name: name}, nil
}

// invoke runs f on an instance and passes its answer on. With an error nothing
// was answered yet.
func (w *Worker) invoke(rw http.ResponseWriter, r *http.Request, f *pool.Function, body []byte, spent *elsewhere) (int, error) {
	// Each try has a sandbox that was alive when it was handed out.
	for tries := 0; ; tries++ {
		in, waited, err := f.Acquire(r.Context())
		spent.waited += waited
		switch {
		case err == nil:
		case errors.Is(err, pool.ErrQueueFull):
			return http.StatusTooManyRequests, err
		case errors.Is(err, pool.ErrClosed):
			return http.StatusServiceUnavailable, err
		case r.Context().Err() != nil:
			return statusClientGone, err
		default:
			return http.StatusInternalServerError, err
		}
		status, err := w.on(in, rw, r, body, spent)
		f.Release(in)
		if errors.Is(err, sandbox.ErrNotSent) && r.Context().Err() == nil && tries < 3 {
			continue
		}
		return status, err
	}
}

// on runs a request on an instance.
func (w *Worker) on(in *pool.Instance, rw http.ResponseWriter, r *http.Request, body []byte, spent *elsewhere) (int, error) {
	f := in.F
	if err := in.Wake(r.Context()); err != nil {
		w.log.Warn("discard sandbox", "function", f.ID.Name, "sandbox", in.SB, "unpause", err)
		f.Discard(in)
		return http.StatusBadGateway, fmt.Errorf("%w: %w", sandbox.ErrNotSent, err)
	}
	ctx, inProcess := r.Context(), w.config.Invocation == config.Import
	if inProcess {
		// Nothing can stop the handler; its slot is taken until it is done.
		ctx = context.WithoutCancel(ctx)
	}
	limit := w.config.Limits.MaxRuntime()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	status, begun := http.StatusBadGateway, time.Now()
	answered := false
	err := sandbox.Exchange(ctx, in.SB, body, func(resp *http.Response) error {
		status, answered = resp.StatusCode, true
		if kind := resp.Header.Get("Content-Type"); kind != "" {
			rw.Header().Set("Content-Type", kind)
		}
		if resp.ContentLength >= 0 {
			rw.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
		}
		rw.WriteHeader(status)
		_, err := io.Copy(rw, resp.Body)
		return err
	})
	took := w.stats.Since(stats.Serve, begun)
	spent.served += took
	f.Took(took)
	switch {
	case err == nil:
		return status, nil
	case r.Context().Err() != nil:
		return statusClientGone, err
	case answered:
		w.log.Warn("answer broke off", "function", f.ID.Name, "sandbox", in.SB, "err", err)
		return statusBrokeOff, err
	case errors.Is(err, sandbox.ErrNotSent) && ctx.Err() == nil:
		f.Discard(in)
		return status, fmt.Errorf("function %s: its sandbox is gone: %w", f.ID.Name, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		if inProcess {
			f.Discard(in)
		}
		return status, fmt.Errorf("function %s: no answer within limits.max_runtime_default, %s; the invocation was ended", f.ID.Name, limit)
	}
	if inProcess {
		f.Discard(in) // the process that ended was its server
	}
	return status, fmt.Errorf("function %s: its sandbox or process ended without an answer: %w", f.ID.Name, err)
}
