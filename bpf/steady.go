// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/ds2-lab/alps/alps/model"
	"github.com/ds2-lab/alps/alps/policy"
)

// checkSteady says what of s the kernel cannot keep.
func checkSteady(s *model.Steady) error {
	if s.Params == nil {
		return errors.New("steady: no parameters")
	}
	if err := s.Params.Validate(); err != nil {
		return err
	}
	steps := s.Table.Steps
	if steps[0].From != 0 && s.Table.Seen > 0 {
		return fmt.Errorf("steady: the table begins at %s: 0 is needed", steps[0].From)
	}
	for i := 1; i < len(steps); i++ {
		if steps[i].From < steps[i-1].From {
			return fmt.Errorf("steady: step %d is from %s, the one before from %s", i, steps[i].From, steps[i-1].From)
		}
	}
	return nil
}

// steadyValue is the kernel's of s. Slices and octave are in whole µs there.
func steadyValue(s *model.Steady) (v alpsSteady) {
	p := s.Params
	v.SeenNs, v.LeastNs, v.FloorNs = uint64(s.Table.Seen), uint64(s.Table.Least), uint64(p.Floor)
	v.GuardWaitNs, v.GuardEveryNs = uint64(p.GuardWait), uint64(p.GuardEvery)
	v.OctaveUs, v.GroupSliceUs, v.GuardSliceUs = uint32(p.Octave.Microseconds()), uint32(p.GroupSlice.Microseconds()), uint32(p.GuardSlice.Microseconds())
	for i, x := range s.Table.Steps {
		v.Steps[i].FromNs, v.Steps[i].IndexNs, v.Steps[i].Slope, v.Steps[i].EndNs = uint64(x.From), uint64(x.Index), x.Slope, uint64(x.End)
	}
	return v
}

// steadyOf reads the kernel's value: the table, and those parameters that the
// kernel knows.
func steadyOf(v *alpsSteady) *model.Steady {
	us := func(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
	s := &model.Steady{Params: &policy.SteadyParams{Floor: time.Duration(v.FloorNs), Octave: us(v.OctaveUs), GroupSlice: us(v.GroupSliceUs),
		GuardWait: time.Duration(v.GuardWaitNs), GuardSlice: us(v.GuardSliceUs), GuardEvery: time.Duration(v.GuardEveryNs)}}
	s.Table.Seen, s.Table.Least = time.Duration(v.SeenNs), time.Duration(v.LeastNs)
	for i, x := range v.Steps {
		s.Table.Steps[i] = model.Step{From: time.Duration(x.FromNs), Index: time.Duration(x.IndexNs), Slope: x.Slope, End: time.Duration(x.EndNs)}
	}
	return s
}
