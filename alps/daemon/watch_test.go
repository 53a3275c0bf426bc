// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/alps/host"
	"github.com/ds2-lab/alps/bpf"

	"github.com/ds2-lab/alps/internal/clock"
)

// quiet is a daemon that serves nobody, with a log to read.
func quiet(t *testing.T, c Config) (*daemon, *fakeKernel, *bytes.Buffer) {
	var log bytes.Buffer
	k := &fakeKernel{}
	c.Log, c.CPUs = slog.New(slog.NewTextHandler(&log, nil)), []int{0}
	d, err := newTestDaemon(t, c, k)
	require.NoError(t, err)
	log.Reset()
	return d, k, &log
}

func function(t *testing.T, s client.Status, uid string) client.FunctionStatus {
	for _, f := range s.Functions {
		if f.UID == uid {
			return f
		}
	}
	require.Fail(t, "no such function", uid)
	return client.FunctionStatus{}
}

// Whatever keeps ALPS from steering is said for every function, once in the log
// when it begins and once when it is over.
func TestWhatIsNotSteeredIsSaid(t *testing.T) {
	controller := func(d *daemon) string { return d.host.Cgroups + "/alps.slice/a/cpu.weight" }
	for _, c := range []struct {
		what       string
		config     Config
		begin, end func(*daemon, *fakeKernel)
		why        string // of function a; "": it is steered all the same
		other      string // of function b
	}{
		{client.HooksOff, Config{}, func(_ *daemon, k *fakeKernel) { k.asks = false }, func(_ *daemon, k *fakeKernel) { k.asks = true },
			"kernel.sched_alps is 0", "kernel.sched_alps is 0"},
		{client.OtherInCharge, Config{}, func(_ *daemon, k *fakeKernel) { k.rivals = 2 }, func(_ *daemon, k *fakeKernel) { k.rivals = 0 },
			"2 other programs are attached", "2 other programs"},
		{client.OtherInCharge, Config{}, func(d *daemon, _ *fakeKernel) {
			write(t, d.host.SchedExt+"/state", "enabled\n")
			write(t, d.host.SchedExt+"/root/ops", "scx_theirs\n")
		}, func(d *daemon, _ *fakeKernel) { write(t, d.host.SchedExt+"/state", "disabled\n") }, "sched_ext scheduler scx_theirs is in charge", "scx_theirs"},
		{client.OtherInCharge, Config{Delegated: true}, func(d *daemon, _ *fakeKernel) { write(t, d.host.SchedExt+"/state", "disabled") },
			func(d *daemon, _ *fakeKernel) { write(t, d.host.SchedExt+"/state", "enabled") }, "start alps-ghost", "start alps-ghost"},
		{client.NoController, Config{}, func(d *daemon, _ *fakeKernel) { require.NoError(t, os.Remove(controller(d))) },
			func(d *daemon, _ *fakeKernel) { write(t, controller(d), "100") }, "no CPU controller", ""},
		{client.NoInvocation, Config{}, func(d *daemon, _ *fakeKernel) {
			for _, used := range []int{0, 2_000_000} {
				write(t, d.host.Cgroups+"/alps.slice/a/cpu.stat", fmt.Sprintf("usage_usec %d\nuser_usec 1\n", used))
				d.sweep()
			}
		}, func(d *daemon, _ *fakeKernel) { d.event(bpf.Event{Cgroup: 1}) }, "no invocation was seen for 30s or more", ""},
		{client.OutOfDate, Config{}, func(d *daemon, _ *fakeKernel) { d.lastErr = "no memory" }, func(d *daemon, _ *fakeKernel) { d.lastErr = "" },
			"out of date: no memory", "no memory"},
		{client.MapFull, Config{}, func(d *daemon, k *fakeKernel) {
			k.survey.Usage = []bpf.Usage{{Map: bpf.MapTasks, Used: 9, Size: 9}}
			d.sweep()
		},
			func(d *daemon, k *fakeKernel) { k.survey.Usage[0].Used = 8; d.sweep() }, "", ""},
		{client.EventsLost, Config{}, func(_ *daemon, k *fakeKernel) { k.lost.Tasks++ }, func(*daemon, *fakeKernel) {}, "", ""},
		{client.Refused, Config{}, func(d *daemon, _ *fakeKernel) {
			require.NoError(t, d.discovered(map[bpf.CgroupID]client.Function{7: {Name: "f", Cgroup: "/alps.slice/c", ID: 7}}, &finder{}))
		}, func(d *daemon, _ *fakeKernel) { require.NoError(t, d.discovered(nil, &finder{refused: d.refused})) }, "", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.config.Mode = client.Mode{Policy: client.PolicyCFS}
			d, k, log := quiet(t, c.config)
			if c.config.Delegated {
				write(t, d.host.SchedExt+"/state", "enabled")
			}
			require.NoError(t, d.setMode(client.Mode{Policy: client.PolicyManual}))
			add(t, d, client.Function{UID: "a", ID: 1}, client.Function{UID: "b", ID: 2})
			require.NoError(t, d.setRules([]client.Rule{{UID: "a", Rank: 1}, {UID: "b", Rank: 2}}))
			s := d.status()
			require.True(t, function(t, s, "a").Steered, function(t, s, "a").Why)
			require.Empty(t, s.Problems)
			log.Reset()

			c.begin(d, k)
			s = d.status()
			for uid, why := range map[string]string{"a": c.why, "b": c.other} {
				f := function(t, s, uid)
				require.Equal(t, why == "", f.Steered, uid)
				require.Contains(t, f.Why, why)
			}
			require.Len(t, s.Problems, 1)
			require.Equal(t, c.what, s.Problems[0].What)
			require.NotZero(t, s.Problems[0].BeganNS)
			require.Zero(t, s.Problems[0].EndedNS)
			if c.what != client.EventsLost { // that is over at the next look
				d.check()
			}
			c.end(d, k)
			s = d.status()
			require.True(t, function(t, s, "a").Steered)
			require.Len(t, s.Problems, 1)
			require.GreaterOrEqual(t, s.Problems[0].EndedNS, s.Problems[0].BeganNS)
			d.check()
			require.Equal(t, 1, strings.Count(log.String(), `msg="`+c.what+`"`), log)
			require.Equal(t, 1, strings.Count(log.String(), `msg="`+c.what+`: over"`), log)
		})
	}
}

// A state that was asked for is no problem, but the status says why nobody is steered.
func TestWhyNobodyIsSteered(t *testing.T) {
	d, _, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	add(t, d, client.Function{UID: "a", ID: 1})
	for _, c := range [][2]string{{client.PolicyCFS, "observed only"}, {client.PolicyALPS, "no policy yet"}, {client.PolicyManual, "no policy yet"}} {
		m, why := c[0], c[1]
		require.NoError(t, d.setMode(client.Mode{Policy: m}))
		s := d.status()
		require.False(t, s.Functions[0].Steered)
		require.Contains(t, s.Functions[0].Why, why)
		require.Empty(t, s.Problems)
	}
	require.NoError(t, d.setRules(nil))
	require.Contains(t, d.status().Functions[0].Why, "gave it no rank")
	require.NoError(t, d.setMode(client.Mode{Policy: client.PolicyALPS}))
	require.NoError(t, d.update())
	require.Contains(t, d.status().Functions[0].Why, "nothing is known of it")
}

// Losses from before the daemon began are no problem of this daemon's.
func TestFormerLossesAreNone(t *testing.T) {
	k := &fakeKernel{lost: bpf.Lost{Invocations: 7}}
	d, err := newTestDaemon(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}}, k)
	require.NoError(t, err)
	require.Empty(t, d.status().Problems)
	k.lost.Orphans++ // outlived its invocation: nothing is lost
	require.Empty(t, d.status().Problems)
}

// A function that runs an invocation for minutes is not silent.
func TestLongInvocationsAreNotSilent(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	add(t, d, client.Function{UID: "a", ID: 1})
	k.survey.Running = map[bpf.CgroupID]int{1: 1}
	for i := range 3 {
		write(t, d.host.Cgroups+"/alps.slice/a/cpu.stat", fmt.Sprintf("usage_usec %d\n", i*30_000_000))
		d.sweep()
	}
	require.Empty(t, d.status().Problems)
}

// The daemon asks for the CPU controller from the root down, at registration and
// at each update, and says where it may not.
func TestTheControllerIsAskedFor(t *testing.T) {
	d, _, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	slice := d.host.Cgroups + "/alps.slice"
	write(t, slice+"/cgroup.subtree_control", "cpuset")
	require.NoError(t, os.MkdirAll(slice+"/a", 0o755))
	require.NoError(t, d.add(client.Function{UID: "a", ID: 1, Cgroup: "/alps.slice/a"}))
	for _, dir := range []string{d.host.Cgroups, slice} {
		require.Equal(t, "+cpu", host.Read(dir, "cgroup.subtree_control"))
	}
	require.Contains(t, d.status().Problems[0].Why, slice+"/a has no CPU controller", "a real kernel would have made the file")
	write(t, slice+"/a/cpu.weight", "100")
	require.NoError(t, d.update())
	require.Equal(t, "policy cfs: functions are observed only", d.status().Functions[0].Why)

	// It is withdrawn, and nobody lets us write.
	require.NoError(t, os.Remove(slice+"/a/cpu.weight"))
	require.NoError(t, os.Remove(slice+"/cgroup.subtree_control"))
	require.NoError(t, os.Mkdir(slice+"/cgroup.subtree_control", 0o755))
	require.NoError(t, d.update())
	require.Contains(t, d.status().Problems[0].Why, "ask for the CPU controller: open "+slice+"/cgroup.subtree_control: is a directory")
}

// A container that cannot be a function is refused alone, and is named once, with
// the reason.
func TestAWrongFunctionIsRefusedAlone(t *testing.T) {
	d, k, log := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	hash := strings.Repeat("c13acdc7567b2259", 4) // as in Azure's traces
	now := map[bpf.CgroupID]client.Function{
		1: {ID: 1, UID: hash, Cgroup: "/alps.slice/1"}, 2: {ID: 2, UID: strings.Repeat("u", 128), Cgroup: "/alps.slice/2"},
		3: {ID: 3, UID: "", Cgroup: "/alps.slice/3"}, 4: {ID: 4, UID: "new\nline", Cgroup: "/alps.slice/4"}, 5: {ID: 5, UID: "good", Cgroup: "/alps.slice/5"},
	}
	var found finder
	for range 3 {
		require.NoError(t, d.discovered(now, &found))
		require.NoError(t, d.update())
	}
	s := d.status()
	require.Len(t, s.Functions, 2)
	require.Equal(t, hash, s.Functions[0].UID)
	require.Len(t, k.functions, 2)
	require.Len(t, s.Refused, 3)
	require.Contains(t, s.Refused[0].Why, "has 128 bytes: at most 127")
	require.Contains(t, s.Refused[1].Why, "its uid is empty")
	require.Contains(t, s.Refused[2].Why, "control characters")
	require.Equal(t, 3, strings.Count(log.String(), `msg="function refused"`), log)
	require.NotContains(t, log.String(), "cgroup was removed")

	for i := range bpf.MaxFunctions + 1 {
		now[bpf.CgroupID(i+10)] = client.Function{ID: uint64(i + 10), UID: fmt.Sprint(i), Cgroup: "/x"}
	}
	require.NoError(t, d.discovered(now, &found))
	require.Len(t, k.functions, bpf.MaxFunctions)
	require.Contains(t, d.status().Refused[3].Why, "the most possible")
	require.NoError(t, d.discovered(nil, &found))
	require.Empty(t, k.functions)
	require.Empty(t, d.status().Refused)
}

// put sends a request as it is and returns the answer's code and text.
func put(t *testing.T, socket, path, body string) (int, string) {
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodPut, "http://alps"+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// A registration that is refused leaves all as it was; the answer says whether
// the request or the kernel is to blame.
func TestARefusedRegistrationChangesNothing(t *testing.T) {
	d, k, c := startDaemon(t, client.Mode{Policy: client.PolicyManual})
	add(t, d, client.Function{UID: "a", ID: 1})
	for _, bad := range []struct{ path, body, why string }{
		{"/functions/x", `{"cgroup":"/no/such/cgroup"}`, "no such file"},
		{"/functions/x", `{"cgroup":"/"}`, "root cgroup"},
		{"/functions/x", `{"cgrp":"/"}`, "unknown field"},
		{"/functions/" + strings.Repeat("u", 128), `{"cgroup":"/"}`, "root cgroup"},
		{"/policy", `[{"uid":"z","rank":1}]`, "function z is not known"},
		{"/mode", `{"policy":"eevdf"}`, "allowed: steady, alps, sfs, manual, cfs"},
	} {
		code, text := put(t, d.config.Socket, bad.path, bad.body)
		require.Equal(t, http.StatusBadRequest, code, bad)
		require.Contains(t, text, bad.why)
	}
	require.ErrorContains(t, d.add(client.Function{UID: strings.Repeat("u", 128), ID: 2, Cgroup: "/b"}), "at most 127")
	k.refuses = errors.New("no space left on device")
	err := d.add(client.Function{UID: "b", ID: 2, Cgroup: "/alps.slice/b"})
	require.ErrorIs(t, err, k.refuses)
	_, callersFault := errors.AsType[callers](err)
	require.False(t, callersFault, "500, not 400")
	require.Len(t, k.functions, 1)
	require.NoError(t, d.update())
	s, err := c.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Functions, 1, "a refused one does not stay")
}

// blockedKernel takes its time for a policy.
type blockedKernel struct {
	fakeKernel
	begun, goOn chan struct{}
}

func (k *blockedKernel) SetPolicy(p map[bpf.CgroupID]bpf.Entry) error {
	if p != nil {
		k.begun <- struct{}{}
		<-k.goOn
	}
	return nil
}

// Events and status do not wait for an update.
func TestUpdatesKeepNobodyWaiting(t *testing.T) {
	k := &blockedKernel{begun: make(chan struct{}), goOn: make(chan struct{})}
	d, err := newTestDaemon(t, Config{Mode: client.Mode{Policy: client.PolicyALPS}, CPUs: []int{0}}, k)
	require.NoError(t, err)
	add(t, d, client.Function{UID: "a", ID: 1})
	done := make(chan error)
	go func() { done <- d.update() }()
	<-k.begun
	now := clock.KTime(d.now())
	d.event(bpf.Event{Cgroup: 1, Arrive: now, End: now})
	require.Equal(t, 1, d.status().Records)
	k.goOn <- struct{}{}
	require.NoError(t, <-done)
}

func TestRulesMayNameFunctions(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyManual}})
	add(t, d, client.Function{UID: "3", Name: "fib", ID: 1}, client.Function{UID: "4", Name: "bfs", ID: 2}, client.Function{UID: "5", Name: "bfs", ID: 3})
	require.NoError(t, d.setRules([]client.Rule{{UID: "fib", Rank: 2}, {UID: "5", Rank: 1}}))
	require.Len(t, k.policy, 2)
	require.Contains(t, k.policy, bpf.CgroupID(1))
	require.EqualError(t, d.setRules([]client.Rule{{UID: "bfs", Rank: 1}}), "several functions are called bfs: give a uid: 4, 5")
	require.EqualError(t, d.setRules([]client.Rule{{UID: "fib", Rank: 1}, {UID: "3", Rank: 2}}), "function 3 has two rules")
	require.ErrorContains(t, d.setRules([]client.Rule{{UID: "fob", Rank: 1}}), "function fob is not known")
	require.Len(t, k.policy, 2)
}

// Ids are 64 bits wide: their difference is no order.
func TestFunctionsAreInOrderOfTheirIDs(t *testing.T) {
	d, _, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	add(t, d, client.Function{UID: "c", ID: math.MaxUint64 - 1}, client.Function{UID: "b", ID: 1 << 40}, client.Function{UID: "a", ID: 1})
	var uids []string
	for _, f := range d.status().Functions {
		uids = append(uids, f.UID)
	}
	require.Equal(t, []string{"a", "b", "c"}, uids)
}

// The status has all that must not change while something is measured; if one of these
// changes, the status shows it.
func TestConditions(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicySFS}})
	add(t, d, client.Function{UID: "a", ID: 1})
	before := d.status().Conditions
	require.Equal(t, before, d.status().Conditions)
	for name, change := range map[string]func(){
		"hooks":                   func() { k.asks = !k.asks },
		"policy":                  func() { require.NoError(t, d.setMode(client.Mode{Policy: client.PolicyCFS})) },
		"kernel":                  func() { write(t, d.host.Proc+"/osrelease", "6.2.0") },
		"boot":                    func() { write(t, d.host.Proc+"/random/boot_id", "another") },
		"CPUs":                    func() { write(t, d.host.CPUs, "0") },
		"functions' CPUs":         func() { write(t, d.host.Cgroups+"/alps.slice/cpuset.cpus.effective", "1") },
		"scheduler in user space": func() { write(t, d.host.SchedExt+"/state", "enabled") },
		"daemon":                  func() { d.begun += policyTick },
	} {
		before := d.status().Conditions[name]
		change()
		require.NotEqual(t, before, d.status().Conditions[name], name)
	}
}

const policyTick = 1 // ns

func TestLostIsOverWhenNothingMoreIs(t *testing.T) {
	d, k, _ := quiet(t, Config{Mode: client.Mode{Policy: client.PolicyCFS}})
	k.lost.Invocations++
	_ = d.status()
	time.Sleep(time.Millisecond)
	after := uint64(d.now())
	problems := d.status().Problems
	require.Len(t, problems, 1)
	require.Less(t, problems[0].EndedNS, after, "it does not reach into what is measured from now on")
}
