// SPDX-License-Identifier: Apache-2.0

// Package artifact names the functions of the ALPS artifact.
package artifact

import "github.com/ds2-lab/alps/openlambda/config"

// Functions is the functions of the ALPS artifact by port, with the UIDs it
// gives them (6 twice). The traces name the function of ten of the ports; the
// other five (5001, 5005, 5015, 5016, 5017) appear in none, and serve fib.
var Functions = []config.Function{
	{Name: "fib", UID: "1", Port: "5001"}, {Name: "fib", UID: "3", Port: "5002"}, {Name: "fib", UID: "6", Port: "5005"},
	{Name: "fib", UID: "6", Port: "5006"}, {Name: "graphBfs", UID: "8", Port: "5008"}, {Name: "graphMst", UID: "9", Port: "5009"},
	{Name: "graphPagerank", UID: "10", Port: "5010"}, {Name: "fib", UID: "11", Port: "5011"},
	{Name: "featureExtractor", UID: "14", Port: "5014"}, {Name: "fib", UID: "15", Port: "5015"}, {Name: "fib", UID: "16", Port: "5016"},
	{Name: "fib", UID: "17", Port: "5017"}, {Name: "fib", UID: "18", Port: "5018"}, {Name: "floatOperation", UID: "20", Port: "5020"},
	{Name: "fib", UID: "21", Port: "5021"},
}
