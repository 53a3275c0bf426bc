// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/apt"
)

func TestAKernelsPartsAreOfItsRelease(t *testing.T) {
	require.Equal(t, []string{"linux-base-7.3.4+deb13-cloud-amd64", "linux-modules-7.3.4+deb13-cloud-amd64"}, sameRelease(
		[]string{"dracut", "initramfs-tools", "linux-initramfs-tool", "kmod", "linux-base-7.3.4+deb13-cloud-amd64",
			"linux-base-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-cloud-amd64"}, "7.3.4+deb13-cloud-amd64"))
}

// Options that only a kernel which is built can have are refused before anything is downloaded.
func TestAPrebuiltKernelCannotBeBuiltOtherwise(t *testing.T) {
	t.Setenv("ALPS_CACHE", t.TempDir())
	for _, o := range []Options{{Src: "/src"}, {Debug: true}, {Extra: []string{"f.config"}}} {
		o.Dir = "."
		_, err := Build(t.Context(), "7.3", o)
		require.EqualError(t, err, "kernel 7.3: it is taken as Debian builds it: -src, -debug and -config are for kernels that are built here (kernel/kernels.yaml)")
	}
}

func TestKeepFindsAKernelWhereItsPackagesHaveIt(t *testing.T) {
	const release = "7.3.4+deb13-cloud-amd64"
	p := packages{image: apt.Package{Name: imagePrefix + release, Version: "7.3.4-1"}, release: release}
	var dir string
	for _, files := range [][2]string{
		{"usr/lib/modules/" + release + "/vmlinuz", "usr/lib/modules/" + release + "/config"},
		{"boot/vmlinuz-" + release, "boot/config-" + release},
	} {
		tree := t.TempDir()
		dir = t.TempDir()
		for i, content := range []string{"kernel", "CONFIG_A=y\nCONFIG_CC_VERSION_TEXT=\"gcc-15 (Debian) 15.2\"\n"} {
			path := filepath.Join(tree, files[i])
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		}
		require.NoError(t, p.keep(tree, dir, "7.3", "key"))
		got, err := read(dir, true)
		require.NoError(t, err)
		require.Empty(t, got.Initrd)
		require.NotEmpty(t, got.ConfigDigest)
		got.ConfigDigest = ""
		require.Equal(t, Built{Name: "7.3", Release: release, Source: "package " + p.image.Name + "=7.3.4-1", Key: "key",
			Compiler: "gcc-15 (Debian) 15.2", BzImage: filepath.Join(dir, "bzImage"), Config: filepath.Join(dir, "config"), Hit: true}, got)
	}
	_, err := Symbols(filepath.Join(dir, "bzImage"))
	require.EqualError(t, err, "kernel 7.3 is Debian's: its symbols are in the package linux-image-7.3.4+deb13-cloud-amd64-dbg")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vmlinux"), nil, 0o644))
	path, err := Symbols(filepath.Join(dir, "bzImage"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "vmlinux"), path)
	require.ErrorContains(t, p.keep(t.TempDir(), t.TempDir(), "7.3", "key"), "linux-image-7.3.4+deb13-cloud-amd64: no ")
}
