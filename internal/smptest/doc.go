// SPDX-License-Identifier: Apache-2.0

// Package smptest has only tests. They run in a guest in virtual time with
// several CPUs (package vm copies its test binary there), and hold its clocks to
// docs/virtual-time.md.
package smptest
