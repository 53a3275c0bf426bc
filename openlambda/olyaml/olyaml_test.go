// SPDX-License-Identifier: Apache-2.0

package olyaml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func function(t *testing.T, files map[string]string) (Function, error) {
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return Read(dir)
}

func TestOlYaml(t *testing.T) {
	f, err := function(t, map[string]string{"app.py": "", File: `triggers:
  http:
    - method: GET
    - method: POST
  cron:
    - schedule: "*/5 * * * *"
    - schedule: "@every 2s"
environment:
  OL_ENTRY_FILE: app.py
  DEBUG: true
  PORT: 80
  EMPTY: ""
reuse-sandbox: false
`})
	require.NoError(t, err)
	require.Equal(t, []string{"GET", "POST"}, f.Allowed)
	require.True(t, f.Allows("GET"))
	require.False(t, f.Allows("PUT"))
	require.Equal(t, []string{"DEBUG=true", "EMPTY=", "OL_ENTRY_FILE=app.py", "PORT=80"}, f.Env())
	require.True(t, f.Fresh)
	require.Equal(t, "app.py", f.Entry)
	require.Len(t, f.Cron, 2)
	at := time.Date(2026, 1, 1, 12, 3, 0, 0, time.Local)
	require.Equal(t, at.Add(2*time.Minute), f.Cron[0].When.Next(at))
	require.Equal(t, at.Add(2*time.Second), f.Cron[1].When.Next(at))
}

// A key that is missing in ol.yaml means what it means for OpenLambda.
func TestDefaults(t *testing.T) {
	for _, files := range []map[string]string{{"f.py": ""}, {"f.py": "", File: ""}, {"f.py": "", File: "environment:\n  A: b\n"}, {"f.py": "", File: "reuse-sandbox: true\n"}} {
		f, err := function(t, files)
		require.NoError(t, err)
		for _, m := range append(Methods, "BREW") {
			require.True(t, f.Allows(m), m)
		}
		require.Equal(t, "f.py", f.Entry)
		require.False(t, f.Fresh)
		require.Empty(t, f.Cron)
	}
	f, err := function(t, map[string]string{"f.py": "", File: "triggers:\n  http: []\n"})
	require.NoError(t, err)
	require.False(t, f.Allows("POST"), "a list of none is none")
}

func TestDotEnv(t *testing.T) {
	f, err := function(t, map[string]string{"f.py": "", ".env": "# words\nA=1\nexport B = 'x y'\nC=\"\"\n"})
	require.NoError(t, err)
	require.Equal(t, []string{"A=1", "B=x y", "C="}, f.Env())
	f, err = function(t, map[string]string{"f.py": "", ".env": "A=1\n", File: "environment:\n  B: 2\n"})
	require.NoError(t, err)
	require.Equal(t, []string{"B=2"}, f.Env(), "ol.yaml's goes over it")
}

// Every error says where in ol.yaml it is, and what is allowed or what to do.
func TestRefusals(t *testing.T) {
	for _, x := range []struct{ yaml, want string }{
		{"trigers:\n  http: []\n", "ol.yaml:1:1: trigers: no such key; allowed: environment, reuse-sandbox, triggers"},
		{"triggers:\n  http:\n    - methods: GET\n", "ol.yaml:3:7: methods: no such key; allowed: method"},
		{"triggers:\n  http:\n    - method: FETCH\n", `ol.yaml:3:15: triggers.http.method: "FETCH": allowed: *, GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS`},
		{"triggers:\n  cron:\n    - schedule: often\n", `ol.yaml:3:17: triggers.cron.schedule: "often": want minute, hour, day, month, weekday`},
		{"triggers:\n  kafka:\n    - topics: [a]\n      bootstrap_servers: [b]\n", "ol.yaml:3:7: triggers.kafka: this worker reads from no Kafka; remove the trigger and have a consumer POST each message to /run/NAME"},
		{"environment:\n  A=B: c\n", "ol.yaml:2:8: environment: \"A=B\": a variable has a name without ="},
		{"environment: [a]\n", "ol.yaml:1:1: value: cannot unmarshal !!seq"},
		{"a: b\n---\nc: d\n", "ol.yaml"},
		{"environment:\n  OL_ENTRY_FILE: ../x.py\n", `OL_ENTRY_FILE "../x.py": want a file of the function's that ends with .py`},
		{"environment:\n  OL_ENTRY_FILE: app.js\n", `OL_ENTRY_FILE "app.js": want a file`},
		{"environment:\n  OL_ENTRY_FILE: app.py\n", "no app.py in it, which OL_ENTRY_FILE names"},
	} {
		_, err := function(t, map[string]string{"f.py": "", File: x.yaml})
		require.ErrorContains(t, err, x.want, x.yaml)
	}
	f, err := Parse([]byte("triggers:\n  http:\n    - method: GET\n  cron:\n    - schedule: \"@every 1s\"\n    - schedule: often\n"))
	require.ErrorContains(t, err, "ol.yaml:6:17: triggers.cron.schedule")
	require.Zero(t, f, "nothing of a wrong file counts")
	_, err = function(t, map[string]string{"app.py": ""})
	require.ErrorContains(t, err, "no f.py in it (if another file is its entry, say so in ol.yaml: environment: OL_ENTRY_FILE: app.py)")
}

func TestOlInstallIsRead(t *testing.T) {
	f, err := function(t, map[string]string{"f.py": "# ol-import: numpy\n# ol-install: numpy, pandas\n#ol-install:requests\nx = '# ol-install: no'\n"})
	require.NoError(t, err)
	require.Equal(t, []string{"numpy", "pandas", "requests"}, f.Install)
	require.Equal(t, []string{"OL_INSTALL=numpy,pandas,requests"}, f.Env())
}

// A line of the code may have any length.
func TestALongLineOfTheCode(t *testing.T) {
	f, err := function(t, map[string]string{"f.py": "data = '" + strings.Repeat("x", 3<<20) + "'\n# ol-install: numpy"})
	require.NoError(t, err)
	require.Equal(t, []string{"numpy"}, f.Install)
}
