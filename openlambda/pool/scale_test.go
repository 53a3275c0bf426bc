// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
)

func TestInstancesFollowOutstandingRequests(t *testing.T) {
	f := &Function{p: &Pool{config: config.Config{Concurrency: 1, Queue: 99}}}
	state := func(avg time.Duration, waiting int, inflight ...int) int {
		f.avg = rolling{}
		f.avg.add(avg)
		f.waiting.Init()
		for range waiting {
			f.waiting.PushBack(make(chan grant, 1))
		}
		f.instances = nil
		for _, n := range inflight {
			f.instances = append(f.instances, &Instance{inflight: n})
		}
		return f.desired()
	}
	require.Equal(t, 0, state(time.Second, 0))
	require.Equal(t, 1, state(0, 1), "nothing known yet")
	require.Equal(t, 1, state(10*time.Millisecond, 30, 1))
	require.Equal(t, 5, state(500*time.Millisecond, 9, 1), "10 requests of 0.5 s")
	require.Equal(t, 4, state(100*time.Second, 3, 1), "no more than could be busy")
	require.Equal(t, 1, state(10*time.Second, 0, 0, 0), "one stays")
	f.p.config.Instances.Max = 2
	require.Equal(t, 2, state(time.Second, 9, 1))
	f.p.config.Instances.Max, f.min = 0, 3
	require.Equal(t, 3, state(0, 0))
	f.min, f.p.config.Concurrency = 0, 4
	require.Equal(t, 2, state(time.Second, 4, 4), "8 requests of 1 s, 4 at a time")
}

// An image that lacked a function's packages is asked again after a while: docker
// load may have brought another one.
func TestRefusalIsForgotten(t *testing.T) {
	no := errors.New("the image has no flask")
	f := &Function{refused: no, failed: time.Unix(100, 0)}
	require.Equal(t, no, f.refusal(time.Unix(109, 0)))
	require.NoError(t, f.refusal(time.Unix(110, 0)))
	require.NoError(t, f.refusal(time.Unix(111, 0)), "until the image says no again")
}
