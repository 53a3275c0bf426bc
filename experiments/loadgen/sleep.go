// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ds2-lab/alps/internal/clock"
)

// SleepToMultiple returns at the next whole multiple of d on CLOCK_MONOTONIC, the clock
// of the observer's events, or with ctx's error when ctx ends before.
func SleepToMultiple(ctx context.Context, d time.Duration) error {
	_, err := sleepToMultiple(ctx, d)
	return err
}

func sleepToMultiple(ctx context.Context, d time.Duration) (at int64, err error) {
	at = (int64(clock.Now())/int64(d) + 1) * int64(d)
	return at, sleepUntil(ctx, at)
}

// sleepUntil sleeps in the kernel, until at (ns): Go's own timers wait in whole
// milliseconds while nothing else is to be done, and one is a fifth of the gap between
// two requests for 24 CPUs. It looks for ctx's end ten times a second.
func sleepUntil(ctx context.Context, at int64) error {
	const look = int64(100 * time.Millisecond)
	for ctx.Err() == nil {
		now := int64(clock.Now())
		if now >= at {
			return nil
		}
		until := unix.NsecToTimespec(min(at, now+look))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("loadgen: sleep: %w", err)
		}
	}
	return ctx.Err()
}
