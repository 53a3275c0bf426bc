// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ds2-lab/alps/experiments/results"
)

// ReadTable is the table of a figure whose only result is one, and the run that made it; nil if it was not made.
func ReadTable(root, figure string) (*results.Table, results.Run, error) {
	series, err := results.ReadPlan(root, results.EngineSim, figure)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, results.Run{}, nil
	}
	if err != nil {
		return nil, results.Run{}, err
	}
	for _, s := range series {
		if s.Result.Table != nil {
			return s.Result.Table, s.Result.Run, nil
		}
	}
	return nil, results.Run{}, nil
}

// ColumnsOf are the positions of the named columns in a table; one that is missing is an error.
func ColumnsOf(t *results.Table, figure string, names ...string) (map[string]int, error) {
	at := map[string]int{}
	for _, name := range names {
		i := slices.Index(t.Columns, name)
		if i < 0 {
			return nil, fmt.Errorf("%s: no column %s in table.csv: run the experiment again", figure, name)
		}
		at[name] = i
	}
	return at, nil
}
