// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParamsValidate(t *testing.T) {
	require.NoError(t, Paper().Validate())
	require.NoError(t, Artifact().Validate())
	for want, change := range map[string]func(*Params){
		"alpha: 0 is outside (0, 1000]":                             func(p *Params) { p.Alpha = 0 },
		"alpha: NaN is outside (0, 1000]":                           func(p *Params) { p.Alpha = math.NaN() },
		"beta: -1 is outside [0, 1000]":                             func(p *Params) { p.Beta = -1 },
		"gamma: +Inf is outside (0, 1000]":                          func(p *Params) { p.Gamma = math.Inf(1) },
		"theta: 100.5 is outside [0, 100]":                          func(p *Params) { p.Theta = 100.5 },
		"ewma_weight: 0 is outside (0, 1]":                          func(p *Params) { p.EWMAWeight = 0 },
		"burst_factor: 0 is outside (0, 1000]":                      func(p *Params) { p.BurstFactor = 0 },
		"smoothing: 1 is outside [0, 1)":                            func(p *Params) { p.Smoothing = 1 },
		"window: -1ns is outside [0s, 24h0m0s]":                     func(p *Params) { p.Window = -1; p.Period = 1 },
		"granularity: 25h0m0s is outside [0s, 24h0m0s]":             func(p *Params) { p.Granularity = 25 * time.Hour },
		"period: 0s is outside (0s, ∞) while window is 0s":          func(p *Params) { p.Window = 0 },
		"records: -1 is outside [0, 1000000]":                       func(p *Params) { p.Records = -1 },
		fmt.Sprint("learner: unknown(9) is outside ", learnerNames): func(p *Params) { p.Learner = 9 },
		"rank_by: unknown(9) is outside [wait slice]":               func(p *Params) { p.RankBy = 9 },
		"share: unknown(9) is outside [deal sample global]":         func(p *Params) { p.Share = 9 },
		"slice_cap: -1ns is outside [0s, 24h0m0s]":                  func(p *Params) { p.SliceCap = -1 },
		"period: -1ns is outside [0s, 24h0m0s]":                     func(p *Params) { p.Period = -1 },
		"beta: 2000 is outside [0, 1000]\npolicy: smoothing":        func(p *Params) { p.Beta = 2000; p.Smoothing = 2 },
	} {
		p := Paper()
		change(&p)
		require.ErrorContains(t, p.Validate(), "policy: "+want)
		_, err := New(p)
		require.Error(t, err)
	}
}

func TestEvery(t *testing.T) {
	require.Equal(t, 5*time.Second, Paper().Every())
	require.Equal(t, 12*time.Second, Artifact().Every())
}

func TestParamsJSON(t *testing.T) {
	for _, p := range []Params{Paper(), Artifact()} {
		text, err := json.Marshal(p)
		require.NoError(t, err)
		var back Params
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, p, back)
	}
	var zero Params
	require.NoError(t, json.Unmarshal([]byte(`{"theta":60}`), &zero))
	sixty := Paper()
	sixty.Theta = 60
	require.Equal(t, sixty, zero, "begins as the paper's")
	require.NoError(t, json.Unmarshal([]byte(`{"theta":60,"like":"artifact"}`), &zero))
	sixty = Artifact()
	sixty.Theta = 60
	require.Equal(t, sixty, zero)

	p := Artifact()
	require.NoError(t, json.Unmarshal([]byte(`{"alpha":3,"learner":"rf","window":"10s","share":"global","rank_by":"wait"}`), &p))
	want := Artifact()
	want.Alpha, want.Learner, want.Window, want.Share, want.RankBy = 3, RandomForest, 10*time.Second, ShareGlobal, ByWait
	require.Equal(t, want, p)
	for text, says := range map[string]string{
		`{"beta":7,"alfa":3}`:   `read policy parameters: json: unknown field "alfa"`,
		`{"learner":"mean"}`:    `learner: "mean" is none of avg, lr, rf, `,
		`{"window":"5"}`:        `missing unit`,
		`{"window":5000000000}`: `read policy parameters`,
		`{"like":"mine"}`:       `like: "mine" is none of paper, artifact`,
		`[]`:                    `read policy parameters`,
	} {
		require.ErrorContains(t, json.Unmarshal([]byte(text), &p), says)
		require.Equal(t, want, p, "nothing changes")
	}
}

// docs/policy.md names every learner in the table, and describes it.
func TestThePageHasEveryLearner(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	require.Contains(t, string(text), "| `learner` | `Learner` | `"+strings.Join(learnerNames, "` `")+"` |")
	for _, name := range learnerNames {
		require.GreaterOrEqual(t, strings.Count(string(text), "`"+name+"`"), 2, "docs/policy.md does not say how %s learns", name)
	}
}

// The table in docs/policy.md has every field, and both presets as they are.
func TestDocumentedParams(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	type row struct{ paper, artifact string }
	rows := map[string]row{}
	clean := func(cell string) string { return strings.TrimRight(strings.TrimSpace(cell), " ¹²³") }
	for _, line := range strings.Split(string(text), "\n") {
		if c := strings.Split(line, "|"); len(c) == 8 && strings.HasPrefix(c[2], " `") {
			rows[strings.Trim(c[2], " `")] = row{clean(c[4]), clean(c[5])}
		}
	}
	show := func(p Params, field string) string {
		switch v := reflect.ValueOf(p).FieldByName(field).Interface().(type) {
		case bool:
			return map[bool]string{true: "on", false: "off"}[v]
		case time.Duration:
			return regexp.MustCompile(`^0s$`).ReplaceAllString(v.String(), "0")
		default:
			return fmt.Sprint(v)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Params]()) {
		require.Equal(t, row{show(Paper(), f.Name), show(Artifact(), f.Name)}, rows[f.Name], f.Name)
		delete(rows, f.Name)
	}
	require.Empty(t, rows)
}

// The table of steady in docs/policy.md has every field and its default.
func TestDocumentedSteadyParams(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	rows := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if c := strings.Split(line, "|"); len(c) == 7 && strings.HasPrefix(c[2], " `") {
			rows[strings.Trim(c[2], " `")] = strings.TrimSpace(c[4])
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[SteadyParams]()) {
		v := reflect.ValueOf(DefaultSteady()).FieldByName(f.Name).Interface()
		require.Equal(t, fmt.Sprint(v), rows[f.Name], f.Name)
		delete(rows, f.Name)
	}
	require.Empty(t, rows)
}

func TestNewWindow(t *testing.T) {
	require.Equal(t, Window{Length: 5 * time.Second, Limit: maxRecords}, Paper().NewWindow(24))
	require.Equal(t, Window{Limit: 2400}, Artifact().NewWindow(24))
	require.Equal(t, Window{Limit: 100}, Artifact().NewWindow(0))
	p := Artifact()
	p.Share = ShareDeal
	require.Equal(t, Window{Limit: 100}, p.NewWindow(24))

	p.Records = 2
	w := p.NewWindow(1)
	for _, r := range []Record{{UID: "long", Arrive: 1, End: 9}, {UID: "old", Arrive: 5, End: 6}, {UID: "new", Arrive: 7, End: 8}} {
		w.Add(r)
	}
	kept := w.Records(9)
	require.Len(t, kept, 2)
	require.Equal(t, []string{"new", "long"}, []string{kept[0].UID, kept[1].UID}, "the newest by end, not by arrival")
}
