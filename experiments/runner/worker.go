package runner

import (
	"context"
	"fmt"
	"strings"

	alpsclient "github.com/ds2-lab/alps/alps/client"
	"github.com/ds2-lab/alps/openlambda"
	"github.com/ds2-lab/alps/vm"
)

// otherWorker is the guest's path of an ol that is not ours.
const otherWorker = "/opt/alps/bin/ol-worker"

// withWorker is the parts with another ol, "" for none, on the tools disk. It
// serves the functions in a worker each, as the artifact does.
func (p Parts) withWorker(ctx context.Context, binary string) (Parts, error) {
	if binary == "" {
		return p, nil
	}
	p.worker = binary
	var err error
	p.Tools, p.ToolsDigest, err = p.buildTools(ctx)
	return p, err
}

// registerWorkers tells the daemon which function each container is, for
// another ol does not label them. Its containers have the parent that the
// guest's Docker gives to all.
func (r *Rig) registerWorkers(ctx context.Context, ports []string) error {
	for _, f := range openlambda.Artifact {
		if len(ports) > 0 && !strings.Contains(" "+strings.Join(ports, " ")+" ", " "+f.Port+" ") {
			continue
		}
		line := fmt.Sprintf(`id=$(docker ps -q --no-trunc -f label=%s=/run/ol/%s/worker) && [ -n "$id" ] &&
curl -sf --unix-socket %s -X PUT http://alps/functions/%s -d '{"name":"%s","cgroup":"/alps.slice/docker-'$id'.scope"}'`,
			openlambda.LabelCluster, f.Port, alpsclient.DefaultSocket, f.UID, f.Name)
		if err := r.Machine.Run(ctx, vm.Cmd{Line: line}); err != nil {
			return fmt.Errorf("register function %s of port %s: %w", f.Name, f.Port, err)
		}
	}
	return nil
}
