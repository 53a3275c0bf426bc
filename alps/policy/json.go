// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// wire is Params as people write it: lengths are "5s", not nanoseconds.
type wire struct {
	Like             *string  `json:"like,omitempty"` // read only
	Alpha            *float64 `json:"alpha,omitempty"`
	Beta             *float64 `json:"beta,omitempty"`
	Gamma            *float64 `json:"gamma,omitempty"`
	Theta            *float64 `json:"theta,omitempty"`
	Unpredictability *bool    `json:"unpredictability,omitempty"`
	Overload         *bool    `json:"overload,omitempty"`
	Learner          *Learner `json:"learner,omitempty"`
	EWMAWeight       *float64 `json:"ewma_weight,omitempty"`
	Window           *length  `json:"window,omitempty"`
	Period           *length  `json:"period,omitempty"`
	Records          *int     `json:"records,omitempty"`
	Share            *Share   `json:"share,omitempty"`
	Granularity      *length  `json:"granularity,omitempty"`
	Seed             *uint64  `json:"seed,omitempty"`
	Remember         *bool    `json:"remember,omitempty"`
	RankBy           *RankBy  `json:"rank_by,omitempty"`
	MeanBurst        *bool    `json:"mean_burst,omitempty"`
	BurstFactor      *float64 `json:"burst_factor,omitempty"`
	SliceCap         *length  `json:"slice_cap,omitempty"`
	Monotone         *bool    `json:"monotone,omitempty"`
	Smoothing        *float64 `json:"smoothing,omitempty"`
}

type length time.Duration

func (l length) MarshalText() ([]byte, error) { return []byte(time.Duration(l).String()), nil }

func (l *length) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*l = length(d)
	return err
}

func (p *Params) wire() wire {
	return wire{
		Alpha: &p.Alpha, Beta: &p.Beta, Gamma: &p.Gamma, Theta: &p.Theta,
		Unpredictability: &p.Unpredictability, Overload: &p.Overload,
		Learner: &p.Learner, EWMAWeight: &p.EWMAWeight,
		Window: (*length)(&p.Window), Period: (*length)(&p.Period), Records: &p.Records,
		Share: &p.Share, Granularity: (*length)(&p.Granularity), Seed: &p.Seed, Remember: &p.Remember,
		RankBy: &p.RankBy, MeanBurst: &p.MeanBurst, BurstFactor: &p.BurstFactor,
		SliceCap: (*length)(&p.SliceCap), Monotone: &p.Monotone, Smoothing: &p.Smoothing,
	}
}

// MarshalJSON writes every field, lengths as text: {"alpha":2,…,"window":"5s",…}.
func (p Params) MarshalJSON() ([]byte, error) { return json.Marshal(p.wire()) }

// UnmarshalJSON changes the fields that are named in data and leaves the
// others as they are; the zero Params begins as Paper. "like": "artifact" or
// "paper" begins with that instead. A misspelt field is an error, and then
// nothing changes.
func (p *Params) UnmarshalJSON(data []byte) error {
	changed := *p
	if changed == (Params{}) {
		changed = Paper()
	}
	var base struct{ Like string }
	if err := json.Unmarshal(data, &base); err != nil {
		return fmt.Errorf("read policy parameters: %w", err)
	}
	if base.Like != "" {
		preset, err := Like(base.Like)
		if err != nil {
			return fmt.Errorf("read policy parameters: %w", err)
		}
		changed = preset
	}
	w := changed.wire()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return fmt.Errorf("read policy parameters: %w", err)
	}
	*p = changed
	return nil
}

// steadyWire is SteadyParams as people write it.
type steadyWire struct {
	Memory     *float64 `json:"memory,omitempty"`
	PoolMemory *float64 `json:"pool_memory,omitempty"`
	Prior      *float64 `json:"prior,omitempty"`
	Period     *length  `json:"period,omitempty"`
	Octave     *length  `json:"octave,omitempty"`
	Floor      *length  `json:"floor,omitempty"`
	GroupSlice *length  `json:"group_slice,omitempty"`
	GuardWait  *length  `json:"guard_wait,omitempty"`
	GuardSlice *length  `json:"guard_slice,omitempty"`
	GuardEvery *length  `json:"guard_every,omitempty"`
}

func (p *SteadyParams) wire() steadyWire {
	return steadyWire{
		Memory: &p.Memory, PoolMemory: &p.PoolMemory, Prior: &p.Prior, Period: (*length)(&p.Period),
		Octave: (*length)(&p.Octave), Floor: (*length)(&p.Floor), GroupSlice: (*length)(&p.GroupSlice),
		GuardWait: (*length)(&p.GuardWait), GuardSlice: (*length)(&p.GuardSlice), GuardEvery: (*length)(&p.GuardEvery),
	}
}

// MarshalJSON writes every field, lengths as text.
func (p SteadyParams) MarshalJSON() ([]byte, error) { return json.Marshal(p.wire()) }

// UnmarshalJSON changes the fields that are named in data and leaves the others
// as they are; the zero SteadyParams begins as DefaultSteady. A misspelt field is
// an error, and then nothing changes.
func (p *SteadyParams) UnmarshalJSON(data []byte) error {
	changed := *p
	if changed == (SteadyParams{}) {
		changed = DefaultSteady()
	}
	w := changed.wire()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return fmt.Errorf("read steady parameters: %w", err)
	}
	*p = changed
	return nil
}
