// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
)

// alpsCommand runs the command as from a shell.
func alpsCommand(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = dispatch(args, nil, &out, &err)
	return code, out.String(), err.String()
}

// serve answers for a daemon.
func serve(t *testing.T, s client.Status) (socket string, got chan []client.Rule) {
	socket, got = filepath.Join(t.TempDir(), "s"), make(chan []client.Rule, 1)
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(s) })
	mux.HandleFunc("GET /policy", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("[]")) })
	mux.HandleFunc("PUT /policy", func(w http.ResponseWriter, r *http.Request) {
		var rules []client.Rule
		json.NewDecoder(r.Body).Decode(&rules)
		got <- rules
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return socket, got
}

// Status says of every function whether it is steered and why not, how full the
// maps are, and what is wrong or was.
func TestStatusSaysWhoIsSteered(t *testing.T) {
	f := func(uid string) client.Function {
		return client.Function{UID: uid, Name: "fib", Cgroup: "/alps.slice/" + uid}
	}
	socket, _ := serve(t, client.Status{
		Functions: []client.FunctionStatus{{Function: f("1"), Counted: "busy", Steered: true}, {Function: f("2"), Counted: "process", Why: "its cgroup has no CPU controller"}},
		Refused:   []client.Refusal{{Function: client.Function{Name: "bfs", Cgroup: "/c"}, Why: "its uid is empty"}},
		Usage:     []client.Usage{{Map: "running", Used: 3, Size: 8192}},
		Problems: []client.Problem{{What: client.NoController, Why: "gone", Functions: []string{"2"}, BeganNS: 1},
			{What: client.HooksOff, Why: "sysctl", BeganNS: 1, EndedNS: 1 + uint64(2*time.Second)}},
	})
	code, stdout, stderr := alpsCommand("status", "-socket", socket)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "running 3 of 8192")
	require.Contains(t, stdout, "no controller (functions 2, goes on): gone\n")
	require.Contains(t, stdout, "hooks off (all functions, over after 2s): sysctl\n")
	require.Contains(t, stdout, "\n2 functions\n")
	require.Regexp(t, `(?m)^  1 +fib +/alps.slice/1 +invocations: busy +steered: yes$`, stdout)
	require.Regexp(t, `(?m)^  2 +fib +/alps.slice/2 +invocations: process +steered: no: its cgroup has no CPU controller$`, stdout)
	require.Regexp(t, `(?m)^  "" +bfs +/c +refused: its uid is empty$`, stdout)
}

// Under steady the status is of tables, not of ranks.
func TestStatusShowsTables(t *testing.T) {
	socket, _ := serve(t, client.Status{Mode: client.Mode{Policy: "steady"}, Backend: "hooks", BackendWhy: "this kernel has the ALPS hooks", Attached: true,
		Stats:  []client.Stat{{Name: "decisions", Value: 7}},
		Tables: []client.Table{{UID: "a1", Records: 12, IndexNS: 55 * time.Millisecond, BiasNS: 16500 * time.Millisecond, QuantumNS: 60 * time.Millisecond, LongestNS: time.Second}}})
	code, stdout, stderr := alpsCommand("status", "-socket", socket)
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^policy steady  backend hooks  attached true  update 0 `, stdout)
	require.Contains(t, stdout, "\nbackend hooks because: this kernel has the ALPS hooks\n")
	require.Contains(t, stdout, "decisions 7")
	require.Regexp(t, `(?m)^ *uid +index +bias +quantum +longest +invocations *$`, stdout)
	require.Regexp(t, `(?m)^ *a1 +55.0ms +16.5s +60.0ms +1000.0ms +12 *$`, stdout)
	require.NotContains(t, stdout, "rank")
}

func TestPolicySetTakesNames(t *testing.T) {
	socket, got := serve(t, client.Status{})
	code, _, stderr := alpsCommand("policy", "-socket", socket, "-set", "fib=1/200ms", "-set", "a=b=2")
	require.Zero(t, code, stderr)
	require.Equal(t, []client.Rule{{UID: "fib", Rank: 1, Slice: 200 * time.Millisecond}, {UID: "a=b", Rank: 2}}, <-got)
	for _, bad := range []string{"fib", "=1", "fib=", "fib=x", "fib=1/x"} {
		code, _, stderr := alpsCommand("policy", "-socket", socket, "-set", bad)
		require.Equal(t, 2, code, bad)
		require.Contains(t, stderr, "-set", bad)
	}
}

func TestBenchExplainsItself(t *testing.T) {
	for _, help := range []string{"-h", "--help"} {
		code, _, stderr := alpsCommand("bench", help)
		require.Zero(t, code)
		require.Contains(t, stderr, "usage: alps bench backend|observer|switch")
		require.NotContains(t, stderr, "want backend, observer or switch")
	}
	for args, why := range map[string]string{"-n 5000": "want backend, observer or switch before the flags", "back": `"back": want backend, observer or switch`, "switch -n 3": "at least 1000"} {
		code, _, stderr := alpsCommand(append([]string{"bench"}, strings.Fields(args)...)...)
		require.Equal(t, 2, code, args)
		require.Contains(t, stderr, why)
	}
}

func TestRunRefusesAbsentCPUs(t *testing.T) {
	absent := strconv.Itoa(runtime.NumCPU() + 2000)
	code, _, stderr := alpsCommand("run", "-cpus", "0,"+absent)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "alps run: CPU "+absent+" is not there or offline: this host has ")
}

// A flag that says nothing to the backend is refused, not ignored, before anything begins.
func TestRunRefuses(t *testing.T) {
	for args, why := range map[string]string{
		"run -delegated -hooks": "-hooks: not with -delegated", "run -delegated -backend scx": "-backend: not with -delegated",
		"run -delegated -reload=false":     "-reload: not with -delegated",
		"run -backend hooks -reload=false": "-reload: of the sched_ext scheduler, not with -backend hooks",
		"run -backend bpf":                 "-backend bpf: allowed: auto, hooks, scx",
	} {
		code, stdout, stderr := alpsCommand(strings.Fields(args)...)
		require.Equal(t, 2, code, args)
		require.Empty(t, stdout, args)
		require.Contains(t, stderr, "alps run: "+why, args)
	}
}

// A flag that says nothing to what is measured is refused, not ignored.
func TestBenchRefuses(t *testing.T) {
	for args, why := range map[string]string{
		"bench switch -json": "alps bench: -json: not of switch", "bench -n 5000": "want backend, observer or switch before the flags",
		"bench switch -n 10": "-n 10: at least 1000", "bench hooks": `"hooks": want backend, observer or switch`,
	} {
		code, stdout, stderr := alpsCommand(strings.Fields(args)...)
		require.Equal(t, 2, code, args)
		require.Empty(t, stdout, args)
		require.Contains(t, stderr, why, args)
	}
}
