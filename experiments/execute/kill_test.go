// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/experiments/results"
	"github.com/ds2-lab/alps/internal/pagetest"
)

const kills = 20

// Killed at 20 random moments, a run that is simply started again ends with the
// same bytes as one that nobody disturbed, and has done nothing twice.
func TestAKilledRunGoesOn(t *testing.T) {
	pagetest.Says(t, "docs/rig.md", fmt.Sprintf("kills simulated runs at %d random moments", kills))
	dir := manyRuns(t)
	calm := child{Dir: dir, Name: "many", Results: filepath.Join(t.TempDir(), "results")}
	begun := time.Now()
	calm.finish(t)
	whole := time.Since(begun)
	want := content(t, calm.Results)
	require.Greater(t, len(want), 360, "121 runs of up to three files and a plan")

	killed := child{Dir: dir, Name: "many", Results: filepath.Join(t.TempDir(), "results")}
	moments := rand.New(rand.NewPCG(1, 2))
	midway := 0
	for n := 0; n < kills; n++ {
		kept := finished(t, killed.Results)
		cmd, out := killed.start(t)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended: // the host got faster: begin again
			require.NoError(t, err, "%s", out)
			require.NoError(t, os.RemoveAll(killed.Results))
			n--
			continue
		case <-time.After(time.Duration(moments.Float64() * float64(whole) / 5)):
		}
		require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
		<-ended
		now := finished(t, killed.Results)
		for run, when := range kept {
			require.Equal(t, when, now[run], "%s was there before and is gone or was made again", run)
		}
		if len(now) > 0 {
			midway++
		}
	}
	kept := finished(t, killed.Results)
	t.Logf("%d of %d kills struck midway; %d of 121 runs were there after them; undisturbed it took %s", midway, kills, len(kept), whole)
	require.Positive(t, midway)
	out := killed.finish(t)
	require.Contains(t, out, fmt.Sprintf("%d runs are there and kept", len(kept)))
	require.Equal(t, want, content(t, killed.Results))
}

// finished are the runs that are there, and when they were made.
func finished(t *testing.T, dir string) map[string]time.Time {
	f, err := results.Find(dir)
	require.NoError(t, err)
	runs := map[string]time.Time{}
	for _, run := range f.Runs {
		_, err := results.Read(filepath.Join(dir, run))
		require.NoError(t, err, "a run that can be found is whole")
		st, err := os.Stat(filepath.Join(dir, run, "run.json"))
		require.NoError(t, err)
		if !strings.HasSuffix(run, "-groups") { // computed anew every time
			runs[run] = st.ModTime()
		}
	}
	return runs
}
