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

// browser is the path of a browser; without one the test skips, or fails where it must run.
func browser(t *testing.T) string {
	t.Helper()
	path := findBrowser()
	ring.Need(t, ring.Chromium, path != "", "no chromium (go run mage.go deps)")
	return path
}

// frame shows the page in a frame of some width, says what sticks out, and uses it:
// it points at the first bar, filters and sorts the claims.
const frame = `<!doctype html><link rel="icon" href="data:,"><body><pre id="out">not loaded</pre>
<iframe id="page" src="/index.html" style="width:%dpx;height:800px;border:0"></iframe>
<script>
page.onload = () => {
  const d = page.contentDocument, root = d.documentElement, w = root.clientWidth; // without the scroll bar
  for (const x of d.querySelectorAll("details")) x.open = true;
  let wide = [];
  for (const e of d.body.querySelectorAll("*"))
    if (!e.closest(".scroll") && e.getBoundingClientRect().right > w + 1) wide.push(e.tagName + "." + (e.className.baseVal ?? e.className));
  const shown = [...d.querySelectorAll(".figure svg")].filter(e => e.getBoundingClientRect().width > 0).length;
  const bar = [...d.querySelectorAll(".marks rect")].find(e => e.dataset.text.includes("p50"));
  bar.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: 20, clientY: 20}));
  const rows = () => [...d.querySelectorAll(".claims tbody tr")], pick = d.querySelector("select[name=simulated]");
  const all = rows().length, first = rows()[0].id;
  pick.value = "holds";
  pick.dispatchEvent(new Event("change"));
  const kept = rows().filter(r => !r.hidden), held = kept.every(r => r.dataset.simulated === "holds") && kept.length > 0 && kept.length < all;
  d.querySelector("th[data-key=figure] button").click();
  const figures = rows().map(r => r.dataset.figure), sorted = figures.every((f, i) => !i || figures[i-1].localeCompare(f, "en", {numeric: true}) <= 0);
  out.textContent = "width=" + page.contentWindow.innerWidth + " overflow=" + (root.scrollWidth - w) + " pictures=" + shown
    + " claims=" + all + " wide=[" + wide.slice(0, 5) + "] tip=" + d.getElementById("tip").textContent.includes("p50") + " filtered=" + held + " sorted=" + (sorted && rows()[0].id !== first)
    + " contents=" + (getComputedStyle(d.querySelector("nav")).position === "sticky");
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
		require.Contains(t, string(dom), fmt.Sprintf("width=%d overflow=0 pictures=16 claims=%d wide=[] tip=true filtered=true sorted=true contents=true", width, len(claims.All)))
		require.NotContains(t, log.String(), "CONSOLE", "the page has nothing to say to the console")
	}
	slices.Sort(asked)
	require.Equal(t, []string{"/frame/1280", "/frame/390", "/index.html"}, slices.Compact(asked), "the page is all in one file")
}
