// Ol is a worker compatible with OpenLambda's Docker sandbox.
package main

import (
	"os"

	"github.com/ds2-lab/alps/openlambda"
)

func main() { os.Exit(openlambda.Main(os.Args[1:], os.Stdout, os.Stderr)) }
