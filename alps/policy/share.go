// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/ds2-lab/alps/internal/clock"
)

// pick is a record that takes part in the simulation.
type pick struct {
	arrive clock.KTime
	record int32 // index into the records
	class  int32 // index into the functions of this window
	core   int32
}

func byArrival(a, b pick) int {
	return cmp.Or(cmp.Compare(a.arrive, b.arrive), cmp.Compare(a.record, b.record))
}

// deal gives each pick a core at random, as many to each core as to any other
// or one more. picks are in order of arrival.
func deal(picks []pick, cores int, seed uint64) {
	for i := range picks {
		picks[i].core = int32(i % cores)
	}
	if cores > 1 {
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(picks), func(i, j int) { picks[i].core, picks[j].core = picks[j].core, picks[i].core })
	}
}

// share decides which picks are simulated and where: it returns those that
// are, in order of arrival, and over how many cores they are dealt.
func (p Params) share(picks []pick, cores int) ([]pick, int) {
	if !slices.IsSortedFunc(picks, byArrival) {
		slices.SortFunc(picks, byArrival)
	}
	switch p.Share {
	case ShareGlobal:
		deal(picks, 1, p.Seed)
		return newest(picks, p.Records), 1
	case ShareSample:
		deal(picks, cores, p.Seed)
		picks = slices.DeleteFunc(picks, func(x pick) bool { return x.core != 0 })
		return newest(picks, p.Records), 1
	}
	picks = newest(picks, p.Records)
	deal(picks, cores, p.Seed)
	return picks, cores
}

func newest(picks []pick, n int) []pick {
	if n == 0 || n > maxRecords {
		n = maxRecords
	}
	return picks[max(len(picks)-n, 0):]
}
