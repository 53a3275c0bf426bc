// SPDX-License-Identifier: Apache-2.0

//go:build ignore

// This program runs the targets without an installed mage:
//
//	go run mage.go -l                 list the targets
//	go run mage.go reproduce          the main job
//
// It accepts a few things more than mage does: see launch.Arrange.
package main

import (
	"os"

	"github.com/ds2-lab/alps/internal/launch"
)

func main() {
	os.Exit(launch.Main(os.Args[1:], os.Stdout, os.Stderr))
}
