// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/internal/label"
)

// listen opens the socket for root only. A live daemon on it is an error, a
// dead one's socket is replaced.
func listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("socket %s: a daemon is listening already: end it first, because two would steer one kernel", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := removeSocket(path); err != nil {
			return nil, fmt.Errorf("replace the socket of a daemon that died: %w", err)
		}
	}
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	return l, nil
}

// removeSocket removes the socket that a dead daemon has left, and nothing else: a plain
// file refuses connections as well, so kind, mode and owner are checked.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode() != fs.ModeSocket|0o600 || !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is there and is no daemon's socket: remove it, or give another path", path)
	}
	return os.Remove(path)
}

func (d *daemon) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { reply(w, d.status(), nil) })
	mux.HandleFunc("GET /policy", func(w http.ResponseWriter, _ *http.Request) {
		e, err := d.entries()
		reply(w, e, err)
	})
	mux.HandleFunc("PUT /mode", take(d.setMode))
	mux.HandleFunc("PUT /policy", take(d.setRules))
	mux.HandleFunc("PUT /functions/{uid}", func(w http.ResponseWriter, r *http.Request) {
		take(func(f client.Function) error {
			f.UID = r.PathValue("uid")
			return d.register(f)
		})(w, r)
	})
	mux.HandleFunc("GET /events", d.stream)
	s := &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		limit, cancel := context.WithTimeout(context.Background(), endWithin)
		defer cancel()
		if s.Shutdown(limit) != nil {
			s.Close()
		}
	})
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	<-ended
	return ctx.Err()
}

// endWithin is how long the end waits for requests that are under way. One that changes
// something is waited for in any case, once its body is there (daemon.ops).
const endWithin = 5 * time.Second

var errEnded = errors.New("the daemon has ended: nothing is changed any more")

// callers is an error that the caller of the API can mend.
type callers struct{ error }

func (e callers) Unwrap() error { return e.error }

// refuse is an error for the caller to mend.
func refuse(format string, args ...any) error { return callers{fmt.Errorf(format, args...)} }

// take handles a request by giving its body to f. What is wrong with the
// request is the caller's to mend (400), what the kernel says is not (500).
func take[T any](f func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		dec.DisallowUnknownFields()
		var in T
		err := dec.Decode(&in)
		if err != nil {
			err = callers{err}
		} else {
			err = f(in)
		}
		if _, ok := errors.AsType[callers](err); ok {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, struct{}{}, err)
	}
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// register makes the cgroup at f.Cgroup a function, or changes nothing.
func (d *daemon) register(f client.Function) error {
	f.Cgroup = filepath.Clean("/" + strings.TrimPrefix(f.Cgroup, host.CgroupRoot))
	id, err := bpf.CgroupOf(host.CgroupRoot + f.Cgroup)
	if err != nil {
		return callers{err}
	}
	f.ID = uint64(id)
	return d.add(f)
}

// add makes a cgroup a function, or changes nothing.
func (d *daemon) add(f client.Function) error {
	if err := checkFunction(f); err != nil {
		return callers{fmt.Errorf("function cgroup %s: %w", f.Cgroup, err)}
	}
	d.ops.Lock()
	defer d.ops.Unlock()
	if d.ended {
		return errEnded
	}
	next := d.known()
	next[bpf.CgroupID(f.ID)] = f
	if err := d.setFunctions(next); err != nil {
		return err
	}
	d.check()
	return nil
}

// checkFunction says why f cannot be a function.
func checkFunction(f client.Function) error {
	switch {
	case f.UID == "":
		return errors.New("its uid is empty: give one (a container's label " + label.UID + ")")
	case f.Cgroup == "/":
		return errors.New("the root cgroup holds everything on the host: give the cgroup of one function")
	case !utf8.ValidString(f.UID+f.Name) || strings.ContainsFunc(f.UID+f.Name, unicode.IsControl):
		return fmt.Errorf("uid %q, name %q: they have control characters, which cannot be shown", f.UID, f.Name)
	}
	if err := checkSource(f); err != nil {
		return err
	}
	return bpf.Function{UID: f.UID, Name: f.Name, Cgroup: f.Cgroup, Note: noteOf(f)}.Check()
}

// stream sends events to one reader until it goes: those after since that are
// still known, then new ones.
func (d *daemon) stream(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(cmp.Or(r.FormValue("since"), strconv.FormatUint(math.MaxUint64, 10)), 10, 64)
	if err != nil {
		http.Error(w, fmt.Sprintf("since=%q: want the read_ns of an event", r.FormValue("since")), http.StatusBadRequest)
		return
	}
	ch := make(chan client.Event, 65536)
	d.mu.Lock()
	d.readers[ch] = true
	missed := slices.Clone(d.recent)
	d.mu.Unlock()
	missed = slices.DeleteFunc(missed, func(e client.Event) bool { return e.ReadNS <= since })
	defer func() {
		d.mu.Lock()
		delete(d.readers, ch)
		d.mu.Unlock()
	}()
	flush := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	flush.Flush()
	enc := json.NewEncoder(w)
	for _, e := range missed {
		if enc.Encode(e) != nil {
			return
		}
	}
	tick := time.NewTicker(50 * time.Millisecond) // a flush per event would cost more than the event
	defer tick.Stop()
	dirty := len(missed) > 0
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-ch:
			if enc.Encode(e) != nil {
				return
			}
			dirty = true
		case <-tick.C:
			if dirty && flush.Flush() != nil {
				return
			}
			dirty = false
		}
	}
}
