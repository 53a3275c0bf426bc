package load

import (
	"context"
	"time"
)

// SleepToMultiple returns at the next whole multiple of d by the clock of the
// observer's events, which is what Align means.
func SleepToMultiple(ctx context.Context, d time.Duration) error {
	_, err := sleepToMultiple(ctx, d)
	return err
}

func sleepToMultiple(ctx context.Context, d time.Duration) (at int64, err error) {
	at = (monotonicNS()/int64(d) + 1) * int64(d)
	return at, sleepUntil(ctx, at)
}

func sleepUntil(ctx context.Context, at int64) error {
	left := time.Duration(at - monotonicNS())
	if left <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(left):
		return nil
	}
}
