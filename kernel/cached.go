// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"github.com/ds2-lab/alps/internal/cache"
)

// Cached are the kernels that are built or installed, side by side.
func Cached() ([]Built, error) {
	entries, err := cache.List("kernel")
	if err != nil {
		return nil, err
	}
	var list []Built
	for _, e := range entries {
		b, err := read(e.Dir, true)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}
