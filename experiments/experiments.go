// SPDX-License-Identifier: Apache-2.0

// Package experiments carries the workloads, their traces and the simulated
// machines inside the binary, so that a program needs no checkout to simulate them.
package experiments

import "embed"

// Files are machines/*.yaml, workloads/*.yaml and traces/*.csv.
//
//go:embed machines/*.yaml workloads/*.yaml traces/*.csv
var Files embed.FS
