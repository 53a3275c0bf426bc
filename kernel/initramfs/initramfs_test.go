// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/ring"
)

func list(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "guest.modules")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestReadList(t *testing.T) {
	path := list(t, "# disk\nvirtio_blk\n\n\ti6300esb  # watchdog\n")
	got, err := ReadList(path)
	require.NoError(t, err)
	require.Equal(t, []Module{{"virtio_blk", path, 2}, {"i6300esb", path, 4}}, got)
	for text, want := range map[string]string{"a\nb c # d\n": `:2: "b c": want one module a line`, "# nothing\n": ": names no module"} {
		path := list(t, text)
		_, err := ReadList(path)
		require.EqualError(t, err, path+want)
	}
}

// guest.modules, which the kernels of kernels.yaml name, is a list that ReadList takes.
func TestTheGuestsListIsRead(t *testing.T) {
	modules, err := ReadList("../config/guest.modules")
	require.NoError(t, err)
	require.Equal(t, "virtio_blk", modules[0].Name, "the disk")
}

// tree has the modules a and b, and c, which the kernel has built in. a calls a function of
// b, and b is compressed.
func tree(t *testing.T, below string) Tree {
	_, err := exec.LookPath("clang-14")
	ring.Need(t, ring.Clang, err == nil, "clang-14 compiles the modules")
	x := Tree{Dir: t.TempDir(), Release: "1.0-test"}
	dir := filepath.Join(x.Dir, below, x.Release)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "kernel"), 0o755))
	for name, code := range map[string]string{
		"a": `extern int in_b(void); int a(void) { return in_b(); }`,
		"b": `int in_b(void) { return 1; } __attribute__((section("__ksymtab_strings"))) const char exported[] = "in_b";`,
	} {
		source := filepath.Join(t.TempDir(), name+".c")
		require.NoError(t, os.WriteFile(source, []byte(code+"\n"), 0o644))
		require.NoError(t, command.Run(t.Context(), command.Cmd{Args: []string{"clang-14", "-c", source, "-o", filepath.Join(dir, "kernel", name+".ko")}}))
	}
	require.NoError(t, command.Run(t.Context(), command.Cmd{Args: []string{"xz", filepath.Join(dir, "kernel/b.ko")}}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte("kernel/c.ko\n"), 0o644))
	return x
}

func TestModulesComeAfterThoseTheyNeed(t *testing.T) {
	for _, below := range []string{"lib/modules", "usr/lib/modules"} {
		files, err := tree(t, below).order(t.Context(), []Module{{Name: "c"}, {Name: "a"}, {Name: "b"}})
		require.NoError(t, err)
		var names []string
		for _, f := range files {
			names = append(names, filepath.Base(f))
		}
		require.Equal(t, []string{"b.ko.xz", "a.ko"}, names, below)
	}
}

func TestAModuleThatIsNotThereIsNamedWithItsLine(t *testing.T) {
	_, err := tree(t, "lib/modules").order(t.Context(), []Module{{"nope", "guest.modules", 7}, {"a", "guest.modules", 8}})
	require.ErrorContains(t, err, "guest.modules:7: module nope: kernel 1.0-test has none: ")
	require.NotContains(t, err.Error(), "module a")
}

func TestTheArchive(t *testing.T) {
	x := tree(t, "usr/lib/modules")
	dir := t.TempDir()
	init := filepath.Join(dir, "program")
	require.NoError(t, BuildInit(t.Context(), "init", init))
	var archives [][]byte
	for _, name := range []string{"first", "second"} {
		out := filepath.Join(dir, name)
		n, err := Build(t.Context(), out, init, x, []Module{{Name: "a"}})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		data, err := os.ReadFile(out)
		require.NoError(t, err)
		archives = append(archives, data)
	}
	require.True(t, string(archives[0]) == string(archives[1]), "the same content gives the same bytes")
	unpacked := t.TempDir()
	require.NoError(t, command.Run(t.Context(), command.Cmd{Args: []string{"cpio", "--quiet", "-i", "-F", filepath.Join(dir, "first")}, Dir: unpacked}))
	order, err := os.ReadFile(filepath.Join(unpacked, "modules"))
	require.NoError(t, err)
	require.Equal(t, "/lib/b.ko\n/lib/a.ko\n", string(order))
	for _, path := range strings.Fields(string(order)) {
		head, err := os.ReadFile(filepath.Join(unpacked, path))
		require.NoError(t, err)
		require.Equal(t, "\x7fELF", string(head[:4]), "%s is not compressed", path)
	}
	st, err := os.Stat(filepath.Join(unpacked, "init"))
	require.NoError(t, err)
	require.NotZero(t, st.Mode()&0o100, "init can be run")
	for _, name := range []string{"dev", "proc", "root"} {
		require.DirExists(t, filepath.Join(unpacked, name))
	}
}
