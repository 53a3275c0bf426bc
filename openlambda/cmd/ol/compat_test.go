// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/api"
	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/pool"
)

// Every row of compat.md names tests that exist, and every command, key and
// path has a row.
func TestCompatNamesItsTests(t *testing.T) {
	data, err := os.ReadFile("../../compat.md")
	require.NoError(t, err)
	tests := map[string]bool{}
	for _, pkg := range []string{"..", "../../api", "../../config", "../../docker", "../../image", "../../olyaml", "../../pool", "../../registry", "../../sandbox", "../../workdir", "."} {
		dir, err := os.ReadDir(pkg)
		require.NoError(t, err)
		for _, f := range dir {
			if !strings.HasSuffix(f.Name(), "_test.go") {
				continue
			}
			text, err := os.ReadFile(pkg + "/" + f.Name())
			require.NoError(t, err)
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
				tests[m[1]] = true
			}
		}
	}
	rows := 0
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			continue
		}
		require.Len(t, cells, 4, line)
		if strings.TrimSpace(cells[3]) == "test" {
			continue
		}
		rows++
		names := strings.Fields(strings.NewReplacer("`", "", ",", " ").Replace(cells[3]))
		require.NotEmpty(t, names, line)
		for _, name := range names {
			require.True(t, tests[name], "compat.md names %s, which is no test: %s", name, line)
		}
	}
	require.Greater(t, rows, 50)
	for _, key := range config.Keys() {
		require.Contains(t, string(data), "| `"+key+"` |", "no row")
	}
	for name := range commands() {
		require.Contains(t, string(data), "`ol "+name, "no row")
	}
	// The folders of OpenLambda's examples, each in one row.
	_, examples, _ := strings.Cut(string(data), "## Upstream's examples")
	examples, _, _ = strings.Cut(examples, "Upstream's own test script")
	for _, name := range strings.Fields(`echo env-test fastapi-test fbomb flask-entry-test flask-test hello hello2 install1 install2 install3 kafka-basic
		kafka-db-sum kafka-metadata lambda-config-test max_mem_alloc numpy21 numpy22 pandas pandas-tests pandas-v1 pip-compile syslog thread_counter timeout
		version wsgi-entry-test wsgi-post-echo wsgi-test`) {
		require.Len(t, regexp.MustCompile(`(?m)^\|(?:[^|]* )?`+name+`(?:,[^|]*)? \|`).FindAllString(examples, -1), 1, name)
	}
	for _, path := range []string{"/run/NAME", "/status", "/pid", "/stats", "/debug", "/metrics", "/functions"} {
		require.Contains(t, string(data), path, "no row")
	}
}

// The limits that compat.md names are those of the code.
func TestCompatNamesTheLimitsOfTheCode(t *testing.T) {
	data, err := os.ReadFile("../../compat.md")
	require.NoError(t, err)
	for _, sentence := range []string{
		fmt.Sprintf("| `ol kill` | SIGINT, waits 30 s; error without worker.pid | same, waits %.0f s;", endLimit.Seconds()),
		fmt.Sprintf("requests may finish for %.0f s,", api.DrainLimit.Seconds()),
		fmt.Sprintf("body over %d MiB", api.MaxBody>>20),
		fmt.Sprintf("| requests that wait; 0: %d |", config.DefaultQueue),
	} {
		require.Contains(t, string(data), sentence)
	}
	require.Equal(t, time.Second, pool.IdlePause, "compat.md: paused after a second without requests")
	require.Equal(t, time.Second/4, docker.LookEvery, "compat.md: a container that lives shorter than a quarter of a second")
}
