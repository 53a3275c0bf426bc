// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/config"
	"github.com/ds2-lab/alps/openlambda/docker"
	"github.com/ds2-lab/alps/openlambda/oltest"
)

// A second ol functions init with the same flags changes nothing, with one worker for all
// functions and with one for each; a second delete is no error.
func TestFunctionsInitAndDelete(t *testing.T) {
	d := oltest.StartDocker(t)
	dir := oltest.ShortDir(t)
	registry, err := filepath.Abs("../../functions")
	require.NoError(t, err)
	init := func(args ...string) {
		out, errOut, code := ol(t, d, append([]string{"functions", "init", "-p", dir, "-registry", registry, "-ports", "5002,5014"}, args...)...)
		require.Zero(t, code, errOut)
		require.Equal(t, "ready\n", out)
	}
	remove := func() {
		_, errOut, code := ol(t, d, "functions", "delete", "-p", dir)
		require.Zero(t, code, errOut)
		require.Empty(t, d.List())
	}
	t.Cleanup(remove)
	call := func() {
		status, body := oltest.Request(t, http.MethodPost, "http://127.0.0.1:5002/run/fib", `{"n":"20","id":"20","job":"fib"}`)
		require.Equal(t, 200, status)
		require.Regexp(t, `^6765\n20 [0-9.]+ [0-9.]+ [0-9]+ 20 fib\n$`, body)
		status, _ = oltest.Request(t, http.MethodPost, "http://127.0.0.1:5014/run/featureExtractor", `{"n":"1","id":"1","job":"x"}`)
		require.Equal(t, 200, status)
	}
	labels := func() (out []string) {
		for _, c := range d.List() {
			out = append(out, c.Config.Labels[docker.LabelUID]+" "+c.Config.Labels[docker.LabelName]+" "+c.Config.Labels[docker.LabelCluster])
		}
		return out
	}
	init()
	init()
	call()
	require.Equal(t, 2, d.Count("create"), "the second init changed nothing")
	require.ElementsMatch(t, []string{"3 fib " + dir + "/worker", "14 featureExtractor " + dir + "/worker"}, labels())

	for _, x := range []struct{ flag, want string }{
		{"-invocation=import", `-invocation: "import": allowed: fork, exec`},
		{"-sched=idle", `sched: "idle": allowed: normal, fifo, rr`},
		{"-platform-us=-1", "platform_us: -1: allowed: 0 to 1000000"},
	} {
		_, errOut, code := ol(t, d, "functions", "init", "-p", dir, "-registry", registry, "-ports", "5002,5014", "-like=artifact", x.flag)
		require.Equal(t, 1, code)
		require.Contains(t, errOut, x.want)
		call()
		require.Equal(t, 2, d.Count("create"), "nothing has changed")
	}

	init("-like=artifact")
	init("-like=artifact")
	call()
	require.Equal(t, 4, d.Count("create"))
	require.ElementsMatch(t, []string{"3 fib " + dir + "/5002/worker", "14 featureExtractor " + dir + "/5014/worker"}, labels())

	init("-sched=normal", "-invocation=exec")
	call()
	require.Len(t, d.List(), 2)
	remove()
	remove()
}

// ol functions delete and init leave configurations that functions init did not write.
func TestAnothersConfigurationStays(t *testing.T) {
	o := newOlDir(t)
	theirs := config.Default(o.path)
	require.NoError(t, theirs.Write(o.path+"/config.json"))
	write(t, o.path+"/80/config.json", `{"a": "web server's"}`)
	write(t, o.path+"/81/config.json", "no JSON at all")
	_, errOut, code := ol(t, o.d, "functions", "delete", "-p", o.path)
	require.Zero(t, code, errOut)
	_, errOut, code = ol(t, o.d, "functions", "init", "-p", o.path)
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "is not of ol functions init: choose another directory by -p")
	for _, path := range []string{"/config.json", "/80/config.json", "/81/config.json"} {
		require.FileExists(t, o.path+path)
	}
	left, err := os.ReadFile(o.path + "/config.json")
	require.NoError(t, err)
	require.Equal(t, string(theirs.JSON()), string(left))
}
