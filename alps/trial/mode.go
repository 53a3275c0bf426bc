// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ds2-lab/alps/alps/client"
)

// setting is a mode with what it needs besides.
type setting struct {
	mode  client.Mode
	rules []client.Rule // of manual
}

// settingOf is what the daemon does now. Under manual its decisions are the rules that
// it was given.
func settingOf(s client.Status) setting {
	out := setting{mode: s.Mode}
	if s.Mode.Policy == client.PolicyManual {
		for _, d := range s.Decisions {
			out.rules = append(out.rules, client.Rule{UID: d.UID, Rank: d.Rank, Slice: d.Slice})
		}
	}
	return out
}

// set switches the daemon. Once asked, it is not interrupted: a daemon that carries out a
// request whose sender has gone would undo what is asked next.
func (r *running) set(ctx context.Context, to setting) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	if err := r.patiently(ctx, func() error { return r.Daemon.SetMode(whole, to.mode) }); err != nil || len(to.rules) == 0 {
		return err
	}
	now, err := r.status(whole)
	if err != nil {
		return err
	}
	// The daemon refuses rules of functions that are gone.
	rules := slices.DeleteFunc(slices.Clone(to.rules), func(rule client.Rule) bool {
		return !slices.ContainsFunc(now.Functions, func(f client.FunctionStatus) bool { return f.UID == rule.UID })
	})
	return r.Daemon.SetPolicy(whole, rules)
}

// restore gives the daemon the mode that it had before, and makes sure that it has it.
func (r *running) restore(ctx context.Context) error {
	before := settingOf(r.before)
	err := r.set(ctx, before)
	if err == nil {
		var now client.Status
		if now, err = r.status(ctx); err == nil && !same(now.Mode, before.mode) {
			err = fmt.Errorf("it has the policy %s", now.Mode.Policy)
		}
	}
	if err != nil {
		return fmt.Errorf("the daemon does not have the mode of before the trial: %w; this gives it that: %s", err, r.command(before))
	}
	r.Progress.Printf("the daemon has the mode of before again: %s", before.mode.Policy)
	return nil
}

// command is what an operator types to switch the daemon.
func (r *running) command(to setting) string {
	socket := ""
	if r.Socket != "" {
		socket = " -socket=" + quote(r.Socket)
	}
	line := "sudo alps mode" + socket + " -policy=" + to.mode.Policy
	if m, err := r.Default(to.mode.Policy); err != nil || !same(m, to.mode) {
		// Parameters of its own: as the daemon takes them.
		line = fmt.Sprintf("sudo curl --fail-with-body --unix-socket %s -X PUT http://alps/mode -d %s", quote(cmp.Or(r.Socket, client.DefaultSocket)), quote(string(wire(to.mode))))
	}
	if len(to.rules) > 0 {
		line += " && sudo alps policy" + socket
		for _, rule := range to.rules {
			line += " -set=" + quote(fmt.Sprintf("%s=%d/%s", rule.UID, rule.Rank, rule.Slice))
		}
	}
	return line
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// wire is m as the daemon is told it. Marshal cannot fail for a mode that the daemon or
// the flags gave.
func wire(m client.Mode) []byte {
	b, _ := json.Marshal(m)
	return b
}

// same says whether two modes are one to the daemon.
func same(a, b client.Mode) bool { return bytes.Equal(wire(a), wire(b)) }
