// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// outcome is a test that notes how it ended.
type outcome struct {
	testing.TB
	said string
}

func (o *outcome) Helper() {}

// Fatal and Skip of a real test end its goroutine, so only the first call counts.
func (o *outcome) Fatal(a ...any) { o.said = cmp.Or(o.said, "failed: "+fmt.Sprint(a...)) }
func (o *outcome) Skip(a ...any)  { o.said = cmp.Or(o.said, "skipped: "+fmt.Sprint(a...)) }

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		must string
		ok   bool
		want string
	}{
		{"", true, ""},
		{"qemu", true, ""},
		{"", false, "skipped: ring qemu: no QEMU here"},
		{"python,kvm", false, "skipped: ring qemu: no QEMU here"},
		{"python,qemu", false, "failed: ring qemu: no QEMU here"},
		{"qemux", false, "skipped: ring qemu: no QEMU here"},
	} {
		t.Setenv(EnvMustRun, c.must)
		var o outcome
		Need(&o, QEMU, c.ok, "no %s here", "QEMU")
		require.Equal(t, c.want, o.said, "%+v", c)
	}
}
