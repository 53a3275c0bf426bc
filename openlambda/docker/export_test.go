// SPDX-License-Identifier: Apache-2.0

package docker

import "time"

// SetSlowStart sets when a start is slow, until the returned function is called.
func SetSlowStart(d time.Duration) (restore func()) {
	was := slowStart
	slowStart = d
	return func() { slowStart = was }
}
