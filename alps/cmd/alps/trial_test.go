// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/trial"
)

// switched is a daemon that has a mode and reports no invocations.
type switched struct {
	socket string
	mu     sync.Mutex
	mode   client.Mode
	modes  []string
}

// serveModes answers for a daemon with a mode; set is called when it was switched.
func serveModes(t *testing.T, mode client.Mode, set func(client.Mode)) *switched {
	d := &switched{socket: filepath.Join(t.TempDir(), "s"), mode: mode}
	l, err := net.Listen("unix", d.socket)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		json.NewEncoder(w).Encode(client.Status{Backend: "scx", Mode: d.mode})
	})
	mux.HandleFunc("PUT /mode", func(w http.ResponseWriter, r *http.Request) {
		var m client.Mode
		json.NewDecoder(r.Body).Decode(&m)
		d.mu.Lock()
		d.mode, d.modes = m, append(d.modes, m.Policy)
		d.mu.Unlock()
		w.Write([]byte("{}"))
		set(m)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return d
}

// However somebody ends the command, the daemon has the mode of before when it is over.
func TestTrialRestoresTheModeWhenItIsEnded(t *testing.T) {
	for _, end := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(end) { // the tests run under nohup
			continue
		}
		before := client.Mode{Policy: client.PolicyALPS, Order: "fifo", FullSlices: true}
		d := serveModes(t, before, func(m client.Mode) {
			if m.Policy == client.PolicyCFS {
				syscall.Kill(os.Getpid(), end.(syscall.Signal))
			}
		})
		code, stdout, stderr := alpsCommand("trial", "-socket", d.socket, "-json")
		require.Equal(t, 1, code, "%s: %s", end, stderr)
		require.Equal(t, before, d.mode, end)
		require.Equal(t, []string{"steady", "cfs", "alps"}, d.modes, end)
		require.Contains(t, stderr, "the trial was interrupted", end)
		var r trial.Report
		require.NoError(t, json.Unmarshal([]byte(stdout), &r), stdout)
		require.Equal(t, "the trial was interrupted", r.Ended)
		require.True(t, r.Modes[0].FullSlices && r.Modes[1].FullSlices, "the observer works as it did before, under both")
	}
}

// What it would do in vain is refused, with the reason.
func TestTrialRefuses(t *testing.T) {
	for args, why := range map[string]string{
		"-a steady":           "alps trial: -a and -b are both steady: there is nothing to compare (-h lists the flags)",
		"-b fair":             "-b=fair: allowed: steady, alps, sfs, manual, cfs",
		"-rounds 1":           "-rounds=1: want 2 to 1000",
		"-each 30s":           "-each=30s: want 1s or more, and at least twice -settle=20s",
		"-each 2m -settle -1": "invalid value",
		"steady":              `unexpected argument "steady"`,
	} {
		code, stdout, stderr := alpsCommand(append([]string{"trial"}, strings.Fields(args)...)...)
		require.Equal(t, 2, code, args)
		require.Empty(t, stdout, args)
		require.Contains(t, stderr, why, args)
	}
	socket, _ := serve(t, client.Status{Backend: "observe", BackendWhy: "this kernel has no ALPS hooks"})
	code, stdout, stderr := alpsCommand("trial", "-socket", socket)
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "the daemon steers nothing on this kernel, so there is nothing to compare: this kernel has no ALPS hooks")
	code, _, stderr = alpsCommand("trial", "-socket", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "is the daemon running? start it with: alps run")
}

// Two trials of one daemon would each take the other's mode for that of before.
func TestOneTrialAtATime(t *testing.T) {
	socket, _ := serve(t, client.Status{Backend: "observe"})
	unlock, err := onlyTrial(socket)
	require.NoError(t, err)
	other, err := onlyTrial(socket + "2")
	require.NoError(t, err)
	defer other()
	code, _, stderr := alpsCommand("trial", "-socket", socket)
	require.Equal(t, 1, code)
	require.Equal(t, "another alps trial of this daemon is running: wait until it is over\n", stderr)
	require.NoError(t, unlock())
	_, _, stderr = alpsCommand("trial", "-socket", socket)
	require.Contains(t, stderr, "the daemon steers nothing")
}

// The mode of a policy is that of alps mode -policy.
func TestNamedMode(t *testing.T) {
	var got client.Mode
	for _, name := range client.Policies() {
		d := serveModes(t, client.Mode{}, func(m client.Mode) { got = m })
		code, _, stderr := alpsCommand("mode", "-socket", d.socket, "-policy", name)
		require.Zero(t, code, stderr)
		m, err := namedMode(name)
		require.NoError(t, err)
		require.Equal(t, got, m)
	}
}
