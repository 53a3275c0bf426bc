// SPDX-License-Identifier: Apache-2.0

package results

import "regexp"

// Forms are regular expressions, as package ours takes them, for the paths below a
// results directory of the files that this package leaves there.
func Forms() []string {
	file := "(" + regexp.QuoteMeta(jsonName) + "|" + regexp.QuoteMeta(csvName) + "|" + regexp.QuoteMeta(slicesName) + "|" + regexp.QuoteMeta(tableName) + ")"
	return []string{lockForm, `[^/]+/(\.partial-[0-9]+/)?` + file, `[^/]+/[^/]+/` + file, `[^/]+/\.?plan-[a-z]+\.json[0-9]*`}
}

// lockForm is the form of the lock's file.
const lockForm = `\.lock`
