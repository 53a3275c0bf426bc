// SPDX-License-Identifier: Apache-2.0

package results

import "regexp"

// Forms are the files that this package and its callers leave in a results
// directory, as package ours takes them.
func Forms() []string {
	file := "(" + regexp.QuoteMeta(jsonName) + "|" + regexp.QuoteMeta(csvName) + "|" + regexp.QuoteMeta(slicesName) + "|" + regexp.QuoteMeta(tableName) + ")"
	return []string{`\.lock`, `[^/]+/(\.partial-[0-9]+/)?` + file, `[^/]+/[^/]+/` + file, `[^/]+/\.?plan-[a-z]+\.json[0-9]*`}
}
