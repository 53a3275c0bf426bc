// SPDX-License-Identifier: Apache-2.0

// Package smptest has only tests. They check that the clocks of a guest in virtual
// time, with one CPU or several, behave as docs/virtual-time.md says. Package vm copies
// the test binary into such guests and runs it there.
package smptest
