// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"testing"

	"github.com/stretchr/testify/require"

	alpsclient "github.com/ds2-lab/alps/alps/client"
)

func TestBroken(t *testing.T) {
	reqs := []Request{{UID: "3"}, {UID: "4"}}
	with := func(conditions map[string]string, problems ...alpsclient.Problem) alpsclient.Status {
		return alpsclient.Status{Conditions: conditions, Problems: problems}
	}
	same := map[string]string{"daemon": "process 7", "hooks": "attached, asked true"}
	for name, c := range map[string]struct {
		before, after alpsclient.Status
		want          []string
	}{
		"nothing": {with(same), with(same), []string{}},
		"another daemon, other hooks": {with(same), with(map[string]string{"daemon": "process 8", "hooks": "attached, asked false"}), []string{
			`daemon changed in between: at the begin "process 7", at the end "process 8"`,
			`hooks changed in between: at the begin "attached, asked true", at the end "attached, asked false"`}},
		"a scheduler that came": {with(nil), with(map[string]string{"scheduler": "x"}), []string{`scheduler changed in between: at the begin "", at the end "x"`}},
		"a problem that goes on": {with(same), with(same, alpsclient.Problem{What: alpsclient.HooksOff, Why: "0", BeganNS: 5}),
			[]string{"hooks off (all functions): 0"}},
		"one that is over by now": {with(same), with(same, alpsclient.Problem{What: alpsclient.NoController, Why: "gone", Functions: []string{"9", "4"}, BeganNS: 5, EndedNS: 101}),
			[]string{"no controller (functions 4): gone"}},
		"one that was over before": {with(same), with(same, alpsclient.Problem{What: alpsclient.EventsLost, BeganNS: 5, EndedNS: 99}), []string{}},
		"one of others":            {with(same), with(same, alpsclient.Problem{What: alpsclient.NoInvocation, Functions: []string{"9"}}), []string{}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, broken(c.before, c.after, 100, reqs)) })
	}
}
