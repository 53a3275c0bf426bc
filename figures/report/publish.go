// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ds2-lab/alps/figures/dataset"
	"github.com/ds2-lab/alps/figures/never"
	"github.com/ds2-lab/alps/figures/plot"
	"github.com/ds2-lab/alps/internal/command"
	"github.com/ds2-lab/alps/internal/ours"
)

// most is how large a published report may be, in bytes.
const most = 20 << 20

// firstScreen is a picture of the page as it opens.
const firstScreen = "first-screen.png"

// Publish draws the report as it is committed: into the directory o.Out, which it empties first, without the
// large formats, and with a picture of its first screen if there is a browser. It returns the page's path, which
// is empty if no page was written. The error names what is missing, as Draw's does, a browser among it, and a size
// above most. If o.Out has a file that ALPS did not make, that is the error, and nothing is removed or drawn.
func Publish(ctx context.Context, o Options) (string, error) {
	o.Light = true
	if err := ours.Remove(o.Out, Forms()...); err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	page, err := Draw(ctx, o)
	if page == "" {
		return "", err
	}
	return page, errors.Join(err, photograph(ctx, page, filepath.Join(o.Out, firstScreen)), small(o.Out))
}

// Forms are the files of a report, as regular expressions for package ours: those of the figures, tables and heat map
// that there are now, and of all that are numbered, which an earlier version may have had.
func Forms() []string {
	names := []string{`fig\d+`, `table\d+`, never.Experiment}
	for _, f := range plot.Catalog {
		names = append(names, regexp.QuoteMeta(f.Name))
	}
	for _, g := range dataset.Grids {
		names = append(names, regexp.QuoteMeta(g.Name))
	}
	return []string{`(` + strings.Join(names, "|") + `)(-[a-z]+)?\.(svg|png|pdf|tsv|md|yaml)`, `index\.html`, `runs\.json`, `claims\.tsv`, `means\.tsv`, `data\.md`, regexp.QuoteMeta(firstScreen)}
}

// browsers are programs that can make a picture of a page.
var browsers = []string{"chromium", "google-chrome"}

// findBrowser is the path of the first of browsers that is installed, or empty.
func findBrowser() string {
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// photograph makes a picture of a page's first screen.
func photograph(ctx context.Context, page, to string) error {
	browser := findBrowser()
	if browser == "" {
		return fmt.Errorf("publish: no %s: no browser (chromium) for a picture of the first screen", firstScreen)
	}
	page, err := filepath.Abs(page)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	profile, err := os.MkdirTemp("", "alps-browser-")
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer os.RemoveAll(profile)
	// No sandbox: it does not work for root, and the page is our own.
	err = command.Run(ctx, command.Cmd{Args: []string{browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--user-data-dir=" + profile, "--window-size=1280,1000", "--screenshot=" + to, "file://" + page}})
	if err == nil {
		_, err = os.Stat(to)
	}
	if err != nil {
		return fmt.Errorf("publish: picture of the first screen: %w", err)
	}
	return nil
}

// small is an error if a directory is too large to be committed.
func small(dir string) error {
	size := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if size > most {
		return fmt.Errorf("publish: %s has %d MB, more than the %d that may be committed", dir, size>>20, most>>20)
	}
	return nil
}
