// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// failed is what go test -v printed of the tests that failed, or all of it if none did: where guests
// run side by side, their lines are mixed, and these stand far from the end.
func failed(log string) string {
	var out, test strings.Builder
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "=== RUN ") && !strings.Contains(line, "/") {
			test.Reset()
		}
		test.WriteString(line)
		if strings.HasPrefix(line, "--- FAIL: ") {
			out.WriteString(test.String())
		}
	}
	if out.Len() == 0 {
		return log
	}
	return out.String()
}

func TestFailedTestsAreToldApart(t *testing.T) {
	const good, bad = "=== RUN   TestGood\n    a_test.go:1: fine\n--- PASS: TestGood (0.01s)\n",
		"=== RUN   TestBad\n=== RUN   TestBad/case\n    a_test.go:2: 3 is not 4\n--- FAIL: TestBad (0.01s)\n    --- FAIL: TestBad/case (0.01s)\n"
	require.Equal(t, strings.TrimSuffix(bad, "    --- FAIL: TestBad/case (0.01s)\n"), failed(good+bad+good+"FAIL\n"))
	panicked := good + "=== RUN   TestBad\npanic: oh\n"
	require.Equal(t, panicked, failed(panicked))
}
