// SPDX-License-Identifier: Apache-2.0

// Ol is a worker compatible with OpenLambda's Docker sandbox.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
