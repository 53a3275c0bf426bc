// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/oltest"
	"github.com/ds2-lab/alps/openlambda/pool"
	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// crowded counts how many starts go on at a time. A start waits, up to 10 s, until
// pool.StartsAtOnce of them have been going on at the same time.
type crowded struct {
	oltest.Pool
	now, most atomic.Int32
}

func (c *crowded) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	for late := time.Now().Add(10 * time.Second); c.most.Load() < pool.StartsAtOnce && time.Now().Before(late); time.Sleep(time.Millisecond) {
	}
	return c.Pool.Start(ctx, s)
}

// The configured functions start a few at a time.
func TestFunctionsStartAFewAtATime(t *testing.T) {
	c := oltest.Config(t)
	for i := range 9 {
		name := fmt.Sprint("f", i)
		oltest.Handler(t, c, name, oltest.Echo)
		c.Functions = append(c.Functions, config.Function{Name: name, UID: fmt.Sprint(i + 1)})
	}
	p := &crowded{}
	s := oltest.Serve(t, c, p)
	oltest.Eventually(t, func() bool { return p.Starts.Load() == 9 }, "all have started")
	require.Equal(t, "ready\n", s.Get("/status"))
	require.EqualValues(t, pool.StartsAtOnce, p.most.Load())
}
