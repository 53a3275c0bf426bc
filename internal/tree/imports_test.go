// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/ds2-lab/alps"

// rule is one row of ARCHITECTURE.md's import table.
type rule struct {
	prefix string   // package path below the module; the longest match rules
	may    []string // prefixes it may import, itself always included
}

var tick = regexp.MustCompile("`([^`]+)`")

// readRules reads the table under the heading "Imports". A row is
// | `prefix` | what | `prefix`, `prefix` |.
func readRules(t *testing.T) []rule {
	root, err := Root()
	require.NoError(t, err)
	f, err := os.Open(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	defer f.Close()
	var rules []rule
	inside := false
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		line := sc.Text()
		if strings.HasPrefix(line, "#") {
			inside = strings.Contains(line, "Imports")
			continue
		}
		cells := strings.Split(line, "|")
		if !inside || len(cells) != 5 {
			continue
		}
		name := tick.FindStringSubmatch(cells[1])
		if name == nil {
			continue
		}
		r := rule{prefix: name[1]}
		for _, m := range tick.FindAllStringSubmatch(cells[3], -1) {
			r.may = append(r.may, m[1])
		}
		rules = append(rules, r)
	}
	require.NoError(t, sc.Err())
	require.NotEmpty(t, rules, "no import table in ARCHITECTURE.md")
	slices.SortFunc(rules, func(a, b rule) int { return len(b.prefix) - len(a.prefix) })
	return rules
}

func under(pkg, prefix string) bool {
	return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
}

func allowed(rules []rule, pkg, imported string) bool {
	_, _, ok := permission(rules, pkg, imported)
	return ok
}

// permission is the row that rules over pkg, and the entry in it by which pkg may
// import imported; may is "" where that is pkg's own row.
func permission(rules []rule, pkg, imported string) (row, may string, ok bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return under(pkg, r.prefix) })
	if i < 0 {
		return "", "", false
	}
	row = rules[i].prefix
	if under(imported, row) {
		return row, "", true
	}
	for _, may := range rules[i].may {
		if under(imported, may) {
			return row, may, true
		}
	}
	return row, "", false
}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []listed {
	root, err := Root()
	require.NoError(t, err)
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	dec := json.NewDecoder(strings.NewReader(string(out)))
	var all []listed
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowTheTable(t *testing.T) {
	rules := readRules(t)
	used := map[string]bool{}
	permissions := map[[2]string]bool{} // row and entry, of those that some import needs
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, r := range rules {
			if under(pkg, r.prefix) {
				used[r.prefix] = true
			}
		}
		// Tests may import the same packages as the code beside them, and no others.
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			imported, ours := strings.CutPrefix(path, module+"/")
			if rule, may, ok := permission(rules, pkg, imported); ours && ok {
				permissions[[2]string{rule, may}] = true
			}
			if ours && !allowed(rules, pkg, imported) {
				t.Errorf("%s imports %s, which ARCHITECTURE.md does not allow", pkg, imported)
			}
			if imported == "internal/targets" && !under(pkg, imported) {
				t.Errorf("%s imports internal/targets; only magefile.go may", pkg)
			}
			if path == "github.com/digitalocean/go-qemu/qmp" && !under(pkg, "vm/qmp") {
				t.Errorf("%s imports go-qemu; only vm/qmp may", pkg)
			}
		}
	}
	for _, r := range rules {
		require.True(t, used[r.prefix], "ARCHITECTURE.md has a row for %s, which holds no package", r.prefix)
		for _, may := range r.may {
			if !permissions[[2]string{r.prefix, may}] {
				t.Errorf("ARCHITECTURE.md permits %s to import %s, which none of it does", r.prefix, may)
			}
		}
	}
}

// Policy and model are pure: they must be usable in virtual time.
func TestPolicyReadsNoClockAndNoFile(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	found := 0
	for _, p := range packages(t) {
		if !strings.HasSuffix(p.ImportPath, "/alps/policy") && !strings.HasSuffix(p.ImportPath, "/alps/model") {
			continue
		}
		found++
		files, err := filepath.Glob(filepath.Join(root, strings.TrimPrefix(p.ImportPath, module+"/"), "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NotRegexp(t, `clock\.(Now|SinceBoot|ThreadCPU)\b|time\.(Now|Since)\(`, string(text), file)
		}
		for _, bad := range []string{"os", "io/fs", "net", "net/http", "os/exec", "github.com/cilium/ebpf", "log", "log/slog"} {
			require.NotContains(t, p.Imports, bad)
		}
	}
	require.Equal(t, 2, found, "alps/policy or alps/model is gone")
}

func TestAllowed(t *testing.T) {
	rules := []rule{{"vm/qmp", nil}, {"alps", []string{"bpf"}}, {"vm", []string{"internal"}}}
	require.True(t, allowed(rules, "vm/qmp", "vm/qmp"))
	require.False(t, allowed(rules, "vm/qmp", "internal/cache"))
	require.True(t, allowed(rules, "vm", "internal/cache"))
	require.True(t, allowed(rules, "alps/cmd/alps", "bpf"))
	require.False(t, allowed(rules, "alps/cmd/alps", "bpfx"))
	require.False(t, allowed(rules, "nobody", "bpf"))
	row, may, ok := permission(rules, "vm/shell", "internal/cache")
	require.Equal(t, []any{"vm", "internal", true}, []any{row, may, ok})
}
