// SPDX-License-Identifier: Apache-2.0

package ghost

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/bpf/ghost"
)

// told are messages that came together, and an error after them.
type told struct {
	list []ghost.Message
	err  error
}

func (m *told) Next(time.Time) (ghost.Message, error) {
	if len(m.list) == 0 {
		return ghost.Message{}, m.err
	}
	x := m.list[0]
	m.list = m.list[1:]
	return x, nil
}

func (m *told) More() bool {
	return len(m.list) > 0 || m.err != nil && !errors.Is(m.err, os.ErrDeadlineExceeded)
}

// The kernel's last message is an error wherever it stands in a batch: what runs
// on afterwards is not scheduled by the agent.
func TestTheSchedulersEndIsNoticed(t *testing.T) {
	ended := errors.New("the kernel ended the scheduler")
	for n := range 3 {
		o := newOrder([]int{1})
		m := &told{err: ended}
		for i := range n {
			m.list = append(m.list, wish(uint32(10+i), uint64(i+1)*ms, 0))
		}
		require.ErrorIs(t, o.takeAll(m, time.Now()), ended, "after %d messages", n)
		require.Len(t, o.tasks, n)
	}
	o := newOrder([]int{1})
	require.NoError(t, o.takeAll(&told{err: os.ErrDeadlineExceeded}, time.Now()), "nobody wanted anything")
	require.NoError(t, o.takeAll(&told{list: []ghost.Message{wish(10, ms, 0), wish(11, ms, 0)}}, time.Now()))
	require.Len(t, o.tasks, 2)
}

// The agent follows the policies that it can carry out. Of another it says so and keeps
// to what it did before.
func TestPoliciesThatTheAgentServes(t *testing.T) {
	var policy string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(client.Status{Mode: client.Mode{Policy: policy}})
	})
	mux.HandleFunc("GET /policy", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]client.Entry{{Function: client.Function{ID: 7}, BiasUS: 5}})
	})
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	w := &watcher{api: client.New(socket), log: slog.New(slog.DiscardHandler), looked: map[uint64]int{}}
	for _, policy = range []string{client.PolicyALPS, client.PolicyCFS, client.PolicyManual} {
		require.NoError(t, w.look(t.Context()), policy)
		require.Equal(t, policy != client.PolicyCFS, *w.entries.Load() != nil, policy)
	}
	for _, policy = range []string{client.PolicySFS, client.PolicySteady} {
		require.ErrorContains(t, w.look(t.Context()), "the daemon's policy is "+policy+": this agent serves cfs, alps and manual only")
		require.EqualValues(t, 5, (*w.entries.Load())[7].BiasUS)
	}
}
