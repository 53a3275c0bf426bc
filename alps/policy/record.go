// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/ds2-lab/alps/internal/clock"
)

// Record is one finished invocation.
type Record struct {
	UID    string      // the function
	Arrive clock.KTime // its process began
	End    clock.KTime // its process exited
	CPU    time.Duration
}

// Window keeps the records of the last seconds. The zero Window keeps all.
type Window struct {
	Length time.Duration // by End; 0 means no bound
	Limit  int           // at most so many, the newest; 0 means no bound

	records []Record
}

// Add takes a record. Records may come slightly out of order of End, as they
// do from several CPUs.
func (w *Window) Add(r Record) {
	// Twice the limit, so that dropping the old is paid for by as many adds.
	if w.Limit > 0 && len(w.records) >= 2*w.Limit {
		w.trim()
	}
	w.records = append(w.records, r)
}

// Records returns the records that ended within (now − Length, now], and later
// ones, in order of End; older ones are dropped for good. The slice is valid
// until the next call.
func (w *Window) Records(now clock.KTime) []Record {
	w.trim()
	if w.Length > 0 && now > clock.KTime(w.Length) {
		oldest := now - clock.KTime(w.Length)
		keep, _ := slices.BinarySearchFunc(w.records, oldest+1, func(r Record, t clock.KTime) int { return cmp.Compare(r.End, t) })
		w.drop(keep)
	}
	return w.records
}

// Clear forgets all records.
func (w *Window) Clear() { w.records = w.records[:0] }

func (w *Window) trim() {
	slices.SortStableFunc(w.records, func(a, b Record) int { return cmp.Compare(a.End, b.End) })
	if w.Limit > 0 && len(w.records) > w.Limit {
		w.drop(len(w.records) - w.Limit)
	}
}

func (w *Window) drop(n int) {
	w.records = slices.Delete(w.records, 0, n)
}
