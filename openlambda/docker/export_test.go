// SPDX-License-Identifier: Apache-2.0

package docker

import "time"

// SetSlowStart sets slowStart to d. The returned function sets it back.
func SetSlowStart(d time.Duration) (restore func()) {
	was := slowStart
	slowStart = d
	return func() { slowStart = was }
}
