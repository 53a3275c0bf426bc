// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/digest"
	"github.com/ds2-lab/alps/internal/progress"
	"github.com/ds2-lab/alps/internal/sourcetree"
)

// Options say how to build. The zero value of each field but Dir works.
type Options struct {
	Dir      string   // the directory with kernels.yaml; required
	Src      string   // build from this tree instead of the declared sources
	Extra    []string // more configuration fragments, by path; they win
	Debug    bool     // with config/debug.config: for looking, not for measuring
	Force    bool     // build even if it is cached
	Jobs     int      // 0: one per CPU
	Progress *progress.Reporter
}

const debugFragment = "config/debug.config"

// symbols are the configuration that k's fragments ask for, and over them the options'.
func (o Options) symbols(k Kernel) ([]symbol, error) {
	var paths []string
	for _, f := range k.Config {
		paths = append(paths, filepath.Join(o.Dir, f.V))
	}
	if o.Debug {
		paths = append(paths, filepath.Join(o.Dir, debugFragment))
	}
	var fragments [][]symbol
	for _, path := range append(paths, o.Extra...) {
		syms, err := readFragment(path)
		if err != nil {
			return nil, err
		}
		fragments = append(fragments, syms)
	}
	return merge(fragments...), nil
}

// Build returns the kernel called name ("": the default). It builds the kernel if no
// build with the same source, series, fragments and compiler is cached, and downloads
// a prebuilt one. The error matches ErrUnavailable if no source could be reached.
func Build(ctx context.Context, name string, o Options) (Built, error) {
	kernels, err := List(o.Dir)
	if err != nil {
		return Built{}, err
	}
	k, err := Find(kernels, name)
	if err != nil {
		return Built{}, err
	}
	if k.Prebuilt() {
		return install(ctx, k, o)
	}
	symbols, err := o.symbols(k)
	if err != nil {
		return Built{}, err
	}
	b := &builder{kernel: k, opts: o, symbols: symbols}
	if b.compiler, err = compiler(ctx); err != nil {
		return Built{}, err
	}
	src, err := locate(ctx, k, o.Src, func(id string) bool {
		key, err := b.key(id)
		if err != nil || o.Force {
			return false
		}
		dir, err := cache.Dir("kernel")
		if err != nil {
			return false
		}
		_, err = os.Stat(filepath.Join(dir, key))
		return err == nil
	})
	if err != nil {
		return Built{}, err
	}
	key, err := b.key(src.id)
	if err != nil {
		return Built{}, err
	}
	e, err := cache.Make(ctx, "kernel", key, o.Force, func(ctx context.Context, dir string) error {
		return b.build(ctx, src, key, dir)
	})
	if err != nil {
		return Built{}, fmt.Errorf("kernel %s: %w", k.Name.V, err)
	}
	return read(e.Dir, e.Hit)
}

type builder struct {
	kernel   Kernel
	opts     Options
	symbols  []symbol
	compiler string
}

// key names a build by everything that goes into it.
func (b *builder) key(source string) (string, error) {
	d := digest.New("kernel/1").Str("source", source).Str("compiler", b.compiler)
	if b.kernel.Patches.V != "" {
		d.Dir("patches", filepath.Join(b.opts.Dir, b.kernel.Patches.V))
	}
	return d.Str("config", string(render(b.symbols))).Sum()
}

func compiler(ctx context.Context) (string, error) {
	var all []string
	for _, args := range [][]string{{"gcc", "--version"}, {"ld", "--version"}, {"pahole", "--version"}} {
		out, err := command.Output(ctx, command.Cmd{Args: args})
		if err != nil {
			return "", fmt.Errorf("ask %s for its version: %w", args[0], err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		all = append(all, line)
	}
	return strings.Join(all, "; "), nil
}

func (b *builder) build(ctx context.Context, src origin, key, dir string) (err error) {
	logDir, err := cache.Dir("log")
	if err != nil {
		return err
	}
	logPath := filepath.Join(logDir, "kernel-"+b.kernel.Name.V+"-"+key[:8]+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n(log: %s)", err, logPath)
		}
	}()

	tree := filepath.Join(dir, "src")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	step := b.opts.Progress.Step("kernel "+b.kernel.Name.V+": source", 0, 0)
	if err := src.unpack(ctx, tree); err != nil {
		return fmt.Errorf("unpack the source: %w", err)
	}
	step.Done("")
	if b.kernel.Patches.V != "" {
		if err := checkCFS(tree); err != nil {
			return err
		}
	}
	if err := b.patch(ctx, tree, log); err != nil {
		return err
	}
	if err := b.configure(ctx, tree, log); err != nil {
		return err
	}
	if err := b.compile(ctx, tree, log); err != nil {
		return err
	}
	out := filepath.Join(tree, buildDir)
	if b.kernel.Patches.V != "" {
		if err := verifyHooks(out); err != nil {
			return err
		}
	}
	return b.keep(out, dir, key, src.id)
}

// buildDir is inside the tree so that the compiler is given relative paths and
// ccache hits wherever the tree lies.
const buildDir = "build"

// patch applies the kernel's series, if it has one.
func (b *builder) patch(ctx context.Context, tree string, log io.Writer) error {
	if b.kernel.Patches.V == "" {
		return nil
	}
	return sourcetree.Apply(ctx, tree, os.DirFS(filepath.Join(b.opts.Dir, b.kernel.Patches.V)), log)
}

func (b *builder) configure(ctx context.Context, tree string, log io.Writer) error {
	// Before make: 6.12's Kconfig asks pahole for its version, and offers no BTF without an answer.
	if err := wrapPahole(tree); err != nil {
		return err
	}
	fragment := filepath.Join(tree, "alps.config")
	if err := os.WriteFile(fragment, render(b.symbols), 0o644); err != nil {
		return err
	}
	for _, target := range []string{"allnoconfig", "olddefconfig"} {
		c := b.make(tree, target)
		c.Env = append(c.Env, "KCONFIG_ALLCONFIG="+fragment)
		c.Stdout, c.Stderr = log, log
		if err := command.Run(ctx, c); err != nil {
			return fmt.Errorf("configure the kernel: %w", err)
		}
	}
	dotConfig, err := os.ReadFile(filepath.Join(tree, buildDir, ".config"))
	if err != nil {
		return err
	}
	if err := verify(b.symbols, dotConfig); err != nil {
		return fmt.Errorf("configuration is not what was asked:\n%w", err)
	}
	return nil
}

func (b *builder) make(tree string, targets ...string) command.Cmd {
	jobs := b.opts.Jobs
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	args := []string{"make", "O=" + buildDir, "-j" + strconv.Itoa(jobs), "CC=ccache gcc", "HOSTCC=ccache gcc", "PAHOLE=" + filepath.Join(tree, "pahole.sh")}
	return command.Cmd{Args: append(args, targets...), Dir: tree,
		// A build must not know who built it, where and when.
		Env: []string{"KBUILD_BUILD_USER=alps", "KBUILD_BUILD_HOST=alps", "KBUILD_BUILD_TIMESTAMP=1970-01-01"}}
}

// paholeWrapper keeps a newer pahole from emitting BTF that the tree's own
// tools cannot read (64-bit enumerations, unknown to 5.18).
const paholeWrapper = `#!/bin/sh
case " $* " in
*" -J "*) exec pahole --skip_encoding_btf_enum64 "$@" ;;
esac
exec pahole "$@"
`

// wrapPahole writes pahole.sh, which make runs for pahole: paholeWrapper if the tree
// does not know such BTF, else a script that only calls pahole.
func wrapPahole(tree string) error {
	flags, err := os.ReadFile(filepath.Join(tree, "scripts/pahole-flags.sh"))
	wrapper := "#!/bin/sh\nexec pahole \"$@\"\n"
	if err == nil && !bytes.Contains(flags, []byte("enum64")) {
		wrapper = paholeWrapper
	}
	return os.WriteFile(filepath.Join(tree, "pahole.sh"), []byte(wrapper), 0o755)
}

func (b *builder) compile(ctx context.Context, tree string, log io.Writer) error {
	ccache, err := cache.Dir("ccache")
	if err != nil {
		return err
	}
	step := b.opts.Progress.Step("kernel "+b.kernel.Name.V+": compile", 0, 0)
	c := b.make(tree, "bzImage")
	c.Env = append(c.Env, "CCACHE_DIR="+ccache, "CCACHE_BASEDIR="+tree, "CCACHE_NOHASHDIR=1", "CCACHE_MAXSIZE=2G")
	count := &objectCounter{log: log, total: b.objects(0), step: step}
	c.Stdout, c.Stderr = count, log
	if err := command.Run(ctx, c); err != nil {
		return fmt.Errorf("compile the kernel: %w", err)
	}
	b.objects(count.n)
	step.Done("")
	return nil
}

// objects remembers that make printed n lines for this kernel, by which the next build
// tells the time left. With n = 0 it returns the number that was remembered.
func (b *builder) objects(n int) int {
	dir, err := cache.Dir("history")
	if err != nil {
		return 0
	}
	path := filepath.Join(dir, "kernel-"+b.kernel.Name.V+".lines")
	if n > 0 {
		_ = atomicfile.Write(path, []byte(strconv.Itoa(n)), 0o644)
		return n
	}
	data, _ := os.ReadFile(path)
	if n, err = strconv.Atoi(string(data)); err != nil {
		return 2200 // as counted for the fragments in this directory
	}
	return n
}

// objectCounter passes make's output on to log and reports how far make is, by lines.
type objectCounter struct {
	log      io.Writer
	n, total int
	step     *progress.Step
}

func (c *objectCounter) Write(p []byte) (int, error) {
	c.n += bytes.Count(p, []byte("\n"))
	c.step.Frac(min(float64(c.n)/float64(c.total), 0.99))
	return c.log.Write(p)
}

// keep leaves in dir what is needed to boot and to tell what it is.
func (b *builder) keep(out, dir, key, source string) error {
	release, err := os.ReadFile(filepath.Join(out, "include/config/kernel.release"))
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(out, ".config"))
	if err != nil {
		return err
	}
	sum, err := digest.New("kernel config").Str("config", string(config)).Sum()
	if err != nil {
		return err
	}
	meta, err := Built{
		Name: b.kernel.Name.V, Release: strings.TrimSpace(string(release)), Source: source,
		ConfigDigest: sum, Key: key, Compiler: b.compiler,
	}.meta()
	if err != nil {
		return err
	}
	return errors.Join(
		os.Rename(filepath.Join(out, "arch/x86/boot/bzImage"), filepath.Join(dir, bzImageName)),
		os.Rename(filepath.Join(out, "System.map"), filepath.Join(dir, "System.map")),
		os.Rename(filepath.Join(out, "vmlinux"), filepath.Join(dir, vmlinuxName)), // for gdb and crash
		os.WriteFile(filepath.Join(dir, configName), config, 0o644),
		os.WriteFile(filepath.Join(dir, metaName), meta, 0o644),
		os.RemoveAll(filepath.Join(dir, "src")), // a gigabyte; with ccache another build costs little
	)
}
