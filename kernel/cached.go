package kernel

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ds2-lab/alps/internal/cache"
)

// Cached are the kernels that are built, side by side.
func Cached() ([]Built, error) {
	dir, err := cache.Dir("kernel")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "kernel.json"))
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	var list []Built
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("kernels: %w", err)
		}
		b := Built{Hit: true, BzImage: filepath.Join(filepath.Dir(f), "bzImage"), Config: filepath.Join(filepath.Dir(f), "config")}
		if json.Unmarshal(data, &b) == nil {
			list = append(list, b)
		}
	}
	return list, nil
}
