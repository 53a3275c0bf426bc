// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/figures/claims"
	"github.com/ds2-lab/alps/figures/figuretest"
	"github.com/ds2-lab/alps/internal/ring"
)

// browser finds one.
func browser(t *testing.T) string {
	t.Helper()
	path := findBrowser()
	ring.Need(t, ring.Chromium, path != "", "no chromium (go run mage.go deps)")
	return path
}

// frame shows the page in a frame of some width and says what sticks out.
const frame = `<!doctype html><link rel="icon" href="data:,"><body><pre id="out">not loaded</pre>
<iframe id="page" src="/index.html" style="width:%dpx;height:800px;border:0"></iframe>
<script>
page.onload = () => {
  const d = page.contentDocument, root = d.documentElement, w = root.clientWidth; // without the scroll bar
  for (const x of d.querySelectorAll("details")) x.open = true;
  let wide = [];
  for (const e of d.body.querySelectorAll("*"))
    if (!e.closest(".scroll") && e.getBoundingClientRect().right > w + 1) wide.push(e.tagName + "." + e.className);
  out.textContent = "width=" + page.contentWindow.innerWidth + " overflow=" + (root.scrollWidth - w) + " pictures=" + d.querySelectorAll(".figure svg").length
    + " claims=" + d.querySelectorAll(".claims tr[id]").length + " wide=[" + wide.slice(0, 5) + "]";
};
</script>`

func TestPageInBrowser(t *testing.T) {
	chromium := browser(t)
	root, out := t.TempDir(), t.TempDir()
	figuretest.Complete(t, root)
	figuretest.Shows(t, root, "fig06", 0.9, figuretest.VM("cfs", 1, 4), figuretest.VM("alps", 1, 1))
	_, err := Draw(t.Context(), Options{Results: root, Out: out})
	require.NoError(t, err)
	var mu sync.Mutex
	var asked []string
	files := http.FileServer(http.Dir(out))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		var width int
		if _, err := fmt.Sscanf(r.URL.Path, "/frame/%d", &width); err == nil {
			fmt.Fprintf(w, frame, width)
			return
		}
		if r.URL.Path == "/index.html" { // FileServer would send it elsewhere
			r.URL.Path = "/"
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, width := range []int{1280, 390} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--user-data-dir="+t.TempDir(),
			"--window-size=1400,900", "--virtual-time-budget=10000", "--dump-dom", fmt.Sprintf("%s/frame/%d", server.URL, width))
		var log strings.Builder
		cmd.Stderr = &log
		dom, err := cmd.Output()
		cancel()
		require.NoError(t, err, log.String())
		require.Contains(t, string(dom), fmt.Sprintf("width=%d overflow=0 pictures=32 claims=%d wide=[]", width, len(claims.All)))
		require.NotContains(t, log.String(), "CONSOLE", "the page has nothing to say to the console")
	}
	slices.Sort(asked)
	require.Equal(t, []string{"/frame/1280", "/frame/390", "/index.html"}, slices.Compact(asked), "the page is all in one file")
}
