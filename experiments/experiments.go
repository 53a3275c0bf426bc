// Package experiments carries the workloads and their traces inside the
// binary, so that a program needs no checkout to simulate them.
package experiments

import "embed"

// Files are workloads/*.yaml and traces/*.csv.
//
//go:embed workloads/*.yaml traces/*.csv
var Files embed.FS
