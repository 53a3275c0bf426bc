// SPDX-License-Identifier: Apache-2.0

package yamlx

import (
	"testing"

	"github.com/stretchr/testify/require"
)

type doc struct {
	Name  At[string]        `yaml:"name"`
	Sweep sweep             `yaml:"sweep"`
	List  []sweep           `yaml:"list"`
	ByKey map[string]*sweep `yaml:"by_key"`
}

type sweep struct {
	Load At[float64] `yaml:"load"`
	N    int         `yaml:"n"`
}

func TestPositions(t *testing.T) {
	var d doc
	require.NoError(t, Decode("f.yaml", []byte("name: x\nsweep: {n: 3, load: 0.5}\n"), &d))
	require.Equal(t, Pos{2, 21}, d.Sweep.Load.Pos())
	require.Equal(t, "x", d.Name.V)
	require.True(t, d.List == nil)
	var e Errors
	e.File = "f.yaml"
	e.Add(d.Sweep.Load.Pos(), "sweep.load", "%v is outside (0, 2]", 11)
	require.EqualError(t, e.Err(), "f.yaml:2:21: sweep.load: 11 is outside (0, 2]")
}

func TestErrorsNameThePlace(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "f.yaml: document: the file is empty"},
		{"name: x\n  nmae: y\n", "f.yaml:2:3: value: mapping values are not allowed in this context"},
		{"nmae: y\n", "f.yaml:1:1: nmae: no such key; allowed: by_key, list, name, sweep"},
		{"my name: y\n", "f.yaml:1:1: my name: no such key; allowed: by_key, list, name, sweep"},
		{"sweep: 3\n", "f.yaml:1:1: value: cannot unmarshal !!int `3`: want a mapping; allowed: load, n"},
		{"list: 3\n", "f.yaml:1:1: value: cannot unmarshal !!int `3`: want a list"},
		{"by_key: 3\n", "f.yaml:1:1: value: cannot unmarshal !!int `3`: want a mapping"},
		{"list:\n- {n: 1, lod: 2}\n", "f.yaml:2:10: lod: no such key; allowed: load, n"},
		{"by_key: {a: {m: 1}}\n", "f.yaml:1:14: m: no such key; allowed: load, n"},
		{"sweep:\n  n: many\n", "f.yaml:2:3: value: cannot unmarshal !!str `many` into int"},
		{"sweep:\n  load: many\n", "f.yaml:2:3: value: cannot unmarshal !!str `many` into float64"},
		{"name: a\n---\nname: b\n", "f.yaml:2:1: document: a second one follows; a file holds one"},
	} {
		var d doc
		require.EqualError(t, Decode("f.yaml", []byte(c.in), &d), c.want, "%q", c.in)
	}
}
