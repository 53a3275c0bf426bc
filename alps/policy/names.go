// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// The names used in flags and JSON, in the order of the constants.
var (
	learnerNames = []string{"avg", "lr", "rf", "ewma"}
	rankByNames  = []string{"wait", "slice"}
	shareNames   = []string{"deal", "sample", "global"}
)

// Learners are the names of all learners.
func Learners() []string { return slices.Clone(learnerNames) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown(%d)", i)
}

func index(what string, names []string, text []byte) (int, error) {
	i := slices.Index(names, string(text))
	if i < 0 {
		return 0, fmt.Errorf("%s: %q is none of %s", what, text, strings.Join(names, ", "))
	}
	return i, nil
}

func (l Learner) String() string { return name(learnerNames, int(l)) }

// MarshalText implements encoding.TextMarshaler, for JSON and flags.
func (l Learner) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText takes one of Learners.
func (l *Learner) UnmarshalText(text []byte) error {
	i, err := index("learner", learnerNames, text)
	if err == nil {
		*l = Learner(i)
	}
	return err
}

func (r RankBy) String() string { return name(rankByNames, int(r)) }

// MarshalText implements encoding.TextMarshaler, for JSON and flags.
func (r RankBy) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes wait or slice.
func (r *RankBy) UnmarshalText(text []byte) error {
	i, err := index("rank_by", rankByNames, text)
	if err == nil {
		*r = RankBy(i)
	}
	return err
}

func (s Share) String() string { return name(shareNames, int(s)) }

// MarshalText implements encoding.TextMarshaler, for JSON and flags.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes deal, sample or global.
func (s *Share) UnmarshalText(text []byte) error {
	i, err := index("share", shareNames, text)
	if err == nil {
		*s = Share(i)
	}
	return err
}
