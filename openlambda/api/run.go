// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/pool"
	"github.com/ds2-lab/alps/openlambda/registry"
	"github.com/ds2-lab/alps/openlambda/sandbox"
	"github.com/ds2-lab/alps/openlambda/stats"
)

// MaxBody bounds a request's body, in bytes.
const MaxBody = 8 << 20

// Statuses that are counted and logged but never sent: the client is gone, or the
// answer had begun with another status.
const (
	statusClientGone = 499
	statusBrokeOff   = 598
)

// call is a request on its way through the worker.
type call struct {
	w    *Worker
	rw   http.ResponseWriter
	r    *http.Request
	id   string          // the request's, in every line of the log about it
	f    *stats.Function // Worker.none until the function is known to exist
	name string
	body []byte
	said string // last line of the function's answer if its status is 500 or above

	waited, served time.Duration // waited for an instance, served by it: not the worker's own time
}

// serve answers a request to /run/NAME. only, if not nil, restricts it to one function.
// scheduled says that cron sent it: the methods of the function's triggers do not count.
func (w *Worker) serve(rw http.ResponseWriter, r *http.Request, only *config.Function, scheduled bool) {
	begun := time.Now()
	c := &call{w: w, rw: rw, id: requestID(r), f: w.none}
	c.r = r.WithContext(pool.WithRequest(r.Context(), c.id))
	rw.Header()[requestHeader] = []string{c.id}
	status, err := c.run(only, scheduled)
	took := c.f.Since(stats.Request, begun)
	w.stats.Overhead.Observe((took - c.waited - c.served).Seconds())
	c.f.Answered(strconv.Itoa(status))
	c.log(status, took, err)
	if status == statusBrokeOff {
		panic(http.ErrAbortHandler) // breaks the client's connection, so that the answer does not look whole
	}
}

// log writes a line about the request: an error from status 500 on, else one at level debug.
func (c *call) log(status int, took time.Duration, err error) {
	attrs := []any{"function", c.name, "request", c.id, "method", c.r.Method, "path", c.r.URL.Path, "status", status, "took", took.Round(time.Microsecond)}
	if trace := traceID(c.r); trace != "" {
		attrs = append(attrs, "trace", trace)
	}
	switch {
	case status >= 500 && err != nil:
		c.w.log.Error("request failed", append(attrs, "err", err)...)
	case status >= 500:
		c.w.log.Error("request failed", append(attrs, "err", c.said)...)
	case err != nil:
		c.w.log.Debug("request was served", append(attrs, "err", err)...)
	default:
		c.w.log.Debug("request was served", attrs...)
	}
}

// fail answers with status and the text of err, and returns both.
func (c *call) fail(status int, err error) (int, error) {
	h := c.rw.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	c.rw.WriteHeader(status)
	io.WriteString(c.rw, err.Error()+"\n")
	return status, err
}

// run answers the request and returns the status, and the error if there was one.
func (c *call) run(only *config.Function, scheduled bool) (int, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(c.r.URL.EscapedPath(), "/run/"), "/")
	name, err := url.PathUnescape(name)
	if err != nil || name == "" {
		return c.fail(http.StatusInternalServerError, errors.New("expected invocation format: /run/<lambda-name>"))
	}
	id, err := c.w.find(name, only)
	if err != nil {
		return c.fail(http.StatusInternalServerError, err)
	}
	c.body, err = readBody(c.rw, c.r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return c.fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d MiB", MaxBody>>20))
	case err != nil:
		return c.fail(http.StatusBadRequest, err)
	}
	f, err := c.w.pool.Pulled(c.r.Context(), id)
	if err != nil {
		// A function that does not exist gets no metrics: names that somebody tries would pile up.
		c.name = name
		if !c.w.pool.Forget(f) {
			c.f = f.Stats()
		}
		return c.fail(http.StatusInternalServerError, err)
	}
	c.f, c.name = f.Stats(), name
	if says := f.Says(); !scheduled && !says.Allows(c.r.Method) {
		c.rw.Header().Set("Allow", strings.Join(says.Allowed, ", "))
		return c.fail(http.StatusMethodNotAllowed, fmt.Errorf("HTTP method not allowed. Sent: %s, Allowed: %v", c.r.Method, says.Allowed))
	}
	begun := time.Now()
	status, err := c.invoke(f)
	c.f.Since(stats.Invoke, begun)
	if err != nil && status < statusBrokeOff && status != statusClientGone {
		return c.fail(status, err)
	}
	return status, err
}

func readBody(rw http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, MaxBody)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(rw, r.Body, MaxBody))
	return b.Bytes(), err
}

// find maps a name to the port's own function (only), to a configured one, or to one
// of the registry. On the port of another function the error matches ErrNotFound.
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

// invoke runs f on an instance and passes its answer on. If it returns an error and a
// status below statusBrokeOff other than statusClientGone, nothing was answered yet.
func (c *call) invoke(f *pool.Function) (int, error) {
	// Each try has a sandbox that was alive when it was handed out.
	for tries := 0; ; tries++ {
		in, waited, err := f.Acquire(c.r.Context())
		c.waited += waited
		switch {
		case err == nil:
		case errors.Is(err, pool.ErrQueueFull):
			return http.StatusTooManyRequests, err
		case errors.Is(err, pool.ErrClosed):
			return http.StatusServiceUnavailable, err
		case c.r.Context().Err() != nil:
			return statusClientGone, err
		default:
			return http.StatusInternalServerError, err
		}
		status, err := c.on(in)
		f.Release(in)
		if errors.Is(err, sandbox.ErrNotSent) && c.r.Context().Err() == nil && tries < 3 {
			continue
		}
		return status, err
	}
}

// on runs the request on an instance.
func (c *call) on(in *pool.Instance) (int, error) {
	w, f := c.w, in.F
	if err := in.Wake(c.r.Context()); err != nil {
		w.log.Warn("sandbox cannot be woken and goes", "function", c.name, "request", c.id, "sandbox", in.SB, "err", err)
		f.Discard(in)
		return http.StatusBadGateway, fmt.Errorf("%w: %w", sandbox.ErrNotSent, err)
	}
	ctx, inProcess := c.r.Context(), w.config.Invocation == config.Import
	if inProcess {
		// Only the sandbox's end stops the handler: its slot is taken until it is done or late.
		ctx = context.WithoutCancel(ctx)
	}
	limit := w.config.Limits.MaxRuntime()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	status, begun, answered := http.StatusBadGateway, time.Now(), false
	err := sandbox.Exchange(ctx, in.SB, c.outgoing(), c.body, func(resp *http.Response) error {
		status, answered = resp.StatusCode, true
		return c.pass(resp)
	})
	took := c.f.Since(stats.Serve, begun)
	c.served += took
	f.Took(took)
	if err == nil {
		return status, nil
	}
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	if late && inProcess {
		f.Discard(in) // the handler still runs, whether or not somebody waits for it
	}
	switch {
	case c.r.Context().Err() != nil:
		return statusClientGone, err
	case answered && late:
		return statusBrokeOff, fmt.Errorf("function %s: its answer broke off: it was not whole within limits.max_runtime_default, %s", c.name, limit)
	case answered:
		return statusBrokeOff, fmt.Errorf("function %s: its answer broke off: %w", c.name, err)
	case errors.Is(err, sandbox.ErrNotSent) && ctx.Err() == nil:
		f.Discard(in)
		return status, fmt.Errorf("function %s: its sandbox is gone: %w", c.name, err)
	case late:
		return status, fmt.Errorf("function %s: no answer within limits.max_runtime_default, %s; the invocation was ended", c.name, limit)
	}
	death := in.SB.Death(context.WithoutCancel(ctx))
	if inProcess {
		f.Discard(in) // the process that ended was its server
	} else {
		c.f.Died(death.Kind)
	}
	if death.Text != "" {
		return status, fmt.Errorf("function %s: ended without an answer: %s", c.name, death.Text)
	}
	return status, fmt.Errorf("function %s: its sandbox or process ended without an answer: %w", c.name, err)
}
