// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// SetDrain makes d the time that requests have to finish after the signal to end.
func (w *Worker) SetDrain(d time.Duration) { w.drain = d }

// Schedules looks at the registry as cron does every few seconds, and returns how many
// schedules are set.
func (w *Worker) Schedules() int {
	w.crons.look()
	return len(w.crons.c.Entries())
}
