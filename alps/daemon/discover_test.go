// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dockerapi "github.com/moby/moby/client"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf"
)

// docker lists one labelled container, and answers code and text when asked for it.
func docker(t *testing.T, code int, text string) *dockerapi.Client {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("API-Version", "1.44")
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			fmt.Fprint(w, `[{"Id":"c1","Labels":{"alps.function.uid":"7"},"State":"running"}]`)
		default:
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}
	}))
	t.Cleanup(s.Close)
	api, err := dockerapi.New(dockerapi.WithHost("tcp://" + strings.TrimPrefix(s.URL, "http://")))
	require.NoError(t, err)
	t.Cleanup(func() { api.Close() })
	return api
}

// A container has ended if Docker says that it is not there or has no process. Where Docker
// cannot say, the functions stay.
func TestOnlyContainersThatEndedAreForgotten(t *testing.T) {
	for _, c := range []struct {
		code      int
		text, err string
		stays     bool
	}{
		{http.StatusInternalServerError, `{"message":"the daemon is shutting down"}`, "inspect container c1: ", true},
		{http.StatusOK, `{`, "inspect container c1: ", true},
		{http.StatusNotFound, `{"message":"No such container: c1"}`, "", false},
		{http.StatusOK, `{"Id":"c1","State":{"Pid":0}}`, "", false},
	} {
		d, _, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
		var own finder
		require.NoError(t, d.discovered(map[bpf.CgroupID]client.Function{7: {UID: "7", Cgroup: "/f/7", ID: 7}}, &own))
		err := d.syncContainers(t.Context(), docker(t, c.code, c.text), &own)
		if c.err == "" {
			require.NoError(t, err, c.text)
		} else {
			require.ErrorContains(t, err, c.err, c.text)
		}
		require.Equal(t, c.stays, len(d.known()) == 1, "%+v: %v", c, err)
	}
}

// A host without Docker is told so once, with what to do about it.
func TestDockersAbsenceIsSaidOnce(t *testing.T) {
	d, _, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}, Docker: "unix://" + t.TempDir() + "/none.sock"})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.discover(ctx) }()
		time.Sleep(10 * time.Second)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	require.Equal(t, 1, strings.Count(log.String(), "ask Docker for functions"), log.String())
	require.Contains(t, log.String(), "-docker=none does without")
}

// A fault that lasts is said when it begins, becomes another, and is over.
func TestFaultsAreSaidWhenTheyChange(t *testing.T) {
	var log strings.Builder
	f := fault{what: "ask", todo: "wait"}
	for _, x := range []struct{ err, want string }{
		{"", ""}, {"a", `level=WARN msg=ask err=a "to do"=wait`}, {"a", ""}, {"b", `level=WARN msg=ask err=b "to do"=wait`},
		{"", `level=INFO msg="ask: over" err=b`}, {"", ""}, {"b", `level=WARN msg=ask err=b "to do"=wait`},
	} {
		var err error
		if x.err != "" {
			err = fmt.Errorf("%s", x.err)
		}
		log.Reset()
		f.say(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})), err)
		require.Equal(t, x.want, strings.TrimSpace(log.String()))
	}
}
