// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
)

// Functions of two names never have one UID; functions of one name have the same.
func TestUIDsDoNotCollide(t *testing.T) {
	p := &Pool{functions: map[config.Function]*Function{}}
	first := p.uidOf("a")
	require.Equal(t, config.UIDOf("a", 0), first)
	other := &Function{ID: config.Function{Name: "other"}}
	other.Labels.UID = first
	p.functions[other.ID] = other
	require.Equal(t, config.UIDOf("a", 1), p.uidOf("a"), "another function has it")
	same := &Function{ID: config.Function{Name: "a", Port: "80"}}
	same.Labels.UID = config.UIDOf("a", 1)
	p.functions[same.ID] = same
	require.Equal(t, config.UIDOf("a", 1), p.uidOf("a"), "the same function on another port has it as well")
}
