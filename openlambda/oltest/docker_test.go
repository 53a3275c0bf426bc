// SPDX-License-Identifier: Apache-2.0

package oltest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// create makes a container at the engine.
func create(t *testing.T, d *Docker, config container.Config, binds ...string) (*client.Client, string) {
	t.Setenv("DOCKER_HOST", d.Host())
	config.Image = "lambda"
	api, err := client.New(client.FromEnv)
	require.NoError(t, err)
	t.Cleanup(func() { api.Close() })
	created, err := api.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &config, HostConfig: &container.HostConfig{Binds: binds}})
	require.NoError(t, err)
	return api, created.ID
}

// A container is listed once, if it has all labels that are asked for.
func TestListRequiresEveryLabel(t *testing.T) {
	d := StartDocker(t)
	var api *client.Client
	ids := map[string]string{}
	for name, labels := range map[string]map[string]string{"both": {"a": "1", "b": "2"}, "one": {"a": "1"}, "other": {"a": "1", "b": "3"}} {
		api, ids[name] = create(t, d, container.Config{Cmd: []string{"/spin"}, Labels: labels})
	}
	list := func(labels ...string) (out []string) {
		f := client.Filters{}
		for _, l := range labels {
			f = f.Add("label", l)
		}
		got, err := api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: f})
		require.NoError(t, err)
		for _, c := range got.Items {
			out = append(out, c.ID)
		}
		return out
	}
	require.ElementsMatch(t, []string{ids["both"]}, list("a=1", "b=2"))
	require.ElementsMatch(t, []string{ids["both"], ids["one"], ids["other"]}, list("a=1"))
	require.Len(t, list(), 3)
	require.Empty(t, list("a=2", "b=2"))
}

// OpenLambda's own worker makes a container that waits, and executes the image's server in
// it; the code is mounted at /handler.
func TestServerOfTheImage(t *testing.T) {
	d := StartDocker(t)
	code, host := ShortDir(t), ShortDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(code, "f.py"), []byte(Echo), 0o644))
	api, id := create(t, d, container.Config{Cmd: []string{"/spin"}}, code+":/handler", host+":/host")
	_, err := api.ContainerStart(t.Context(), id, client.ContainerStartOptions{})
	require.NoError(t, err)
	exec, err := api.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: []string{"python3", "/runtimes/python/server.py"}})
	require.NoError(t, err)
	_, err = api.ExecStart(t.Context(), exec.ID, client.ExecStartOptions{Detach: true})
	require.NoError(t, err)
	sb := &Sandbox{Spec: sandbox.Spec{HostDir: host}}
	Eventually(t, func() bool {
		conn, err := sb.Dial(t.Context())
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, "the server has found the function and answers")
}
