// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/oltest"
)

const everySecond = "triggers:\n  cron:\n    - schedule: \"@every 1s\"\n"

// The schedules that are set are those of the registry's ol.yaml files at the last look. A
// file with an error sets none.
func TestSchedulesFollowTheRegistry(t *testing.T) {
	c := oltest.Config(t)
	w := api.New(oltest.Parsed(t, c), &oltest.Pool{}, oltest.Log())
	require.Equal(t, 0, w.Schedules())
	for _, x := range []struct {
		yaml string
		want int
	}{
		{everySecond, 1},
		{everySecond, 1},
		{everySecond + "    - schedule: \"@every 2s\"\n", 2},
		{everySecond + "    - schedule: often\n", 0},
		{everySecond, 1},
		{"triggers:\n  http:\n    - method: GET\n", 0},
		{everySecond, 1},
	} {
		files(t, c, "tick", map[string]string{"f.py": oltest.Echo, "ol.yaml": x.yaml})
		require.Equal(t, x.want, w.Schedules(), x.yaml)
	}
	require.NoError(t, os.Remove(filepath.Join(c.Registry, "tick", "ol.yaml")))
	require.Equal(t, 0, w.Schedules(), "without ol.yaml")
	files(t, c, "tick", map[string]string{"ol.yaml": everySecond})
	require.Equal(t, 1, w.Schedules())
	require.NoError(t, os.RemoveAll(filepath.Join(c.Registry, "tick")))
	require.Equal(t, 0, w.Schedules(), "without the function")
}

// A call by cron that hangs does not hold up the worker's end for longer than a client's request may.
func TestCronCallThatHangs(t *testing.T) {
	for _, mode := range []string{config.Import, config.Fork} {
		t.Run(mode, func(t *testing.T) {
			c := oltest.Config(t)
			c.Invocation = mode
			files(t, c, "tick", map[string]string{"f.py": oltest.Echo, "ol.yaml": everySecond})
			var entered atomic.Bool
			leave := make(chan struct{})
			defer close(leave)
			p := &oltest.Pool{Answer: func(*oltest.Sandbox, string) string { entered.Store(true); <-leave; return "" }}
			w := api.New(oltest.Parsed(t, c), p, oltest.Log())
			w.SetDrain(50 * time.Millisecond)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.Serve(ctx) }()
			oltest.Eventually(t, entered.Load, "it is called")
			cancel()
			oltest.Eventually(t, func() bool { return len(done) == 1 }, "the worker ends")
			require.NoError(t, <-done)
			require.Zero(t, p.Live())
		})
	}
}
