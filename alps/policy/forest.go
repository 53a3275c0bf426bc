// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

const (
	trees    = 16
	minLeaf  = 5  // rows drawn, at least, on either side of a split
	maxDepth = 10 // keeps the worst series within a few times the usual cost
	features = 3
	recent   = 4 // segments in the mean that is the third feature
)

// forest is a random forest regression that is asked one question: what comes
// next? Each row is an on-CPU segment, described by its position in the series, the
// one before it, and the mean of the four before it. Each tree sees as many rows
// as there are, drawn with replacement, and splits where the squared error
// falls most. As only one row is ever asked for, a tree grows only the branch
// that row falls into.
//
// It keeps its arrays from one question to the next.
type forest struct {
	rows   [features][]float64 // values
	sorted [features][]int32   // rows by value
	node   [features][]int32   // the rows in the branch, by value
	weight []int32             // how often this tree drew the row
}

// branch is the best split of a node.
type branch struct {
	feature int
	below   float64 // rows under it go left
	score   float64
}

// predict guesses the value after ys, which holds at least two, in a way that
// depends on ys and seed only.
func (f *forest) predict(ys []float64, seed uint64) float64 {
	asked := f.describe(ys)
	targets := ys[1:]
	rng := rand.New(rand.NewPCG(seed, uint64(len(ys))))
	sum := 0.0
	for range trees {
		sum += f.grow(targets, asked, rng)
	}
	return sum / trees
}

// describe fills rows and sorted for ys[1:], and returns the row of what comes
// after ys.
func (f *forest) describe(ys []float64) (asked [features]float64) {
	n := len(ys) - 1
	for i := range features {
		f.rows[i] = slices.Grow(f.rows[i][:0], n)[:n]
		f.sorted[i] = slices.Grow(f.sorted[i][:0], n)[:n]
		f.node[i] = slices.Grow(f.node[i][:0], n)[:n]
	}
	f.weight = slices.Grow(f.weight[:0], n)[:n]
	sum := 0.0
	for k := 1; k <= len(ys); k++ {
		sum += ys[k-1]
		if k > recent {
			sum -= ys[k-1-recent]
		}
		row := [features]float64{float64(k), ys[k-1], sum / float64(min(k, recent))}
		if k == len(ys) {
			asked = row
			break
		}
		for i, v := range row {
			f.rows[i][k-1] = v
			f.sorted[i][k-1] = int32(k - 1)
		}
	}
	for i := 1; i < features; i++ { // the positions are in order
		values := f.rows[i]
		slices.SortFunc(f.sorted[i], func(a, b int32) int {
			return cmp.Or(cmp.Compare(values[a], values[b]), cmp.Compare(a, b))
		})
	}
	return asked
}

// grow draws the rows of one tree, follows asked to its leaf and returns the
// leaf's mean.
func (f *forest) grow(targets []float64, asked [features]float64, rng *rand.Rand) float64 {
	clear(f.weight)
	for range targets {
		f.weight[rng.IntN(len(targets))]++
	}
	for i := range features {
		f.node[i] = f.node[i][:0]
		for _, r := range f.sorted[i] {
			if f.weight[r] > 0 {
				f.node[i] = append(f.node[i], r)
			}
		}
	}
	for range maxDepth {
		b, ok := f.split(targets)
		if !ok {
			break
		}
		left := asked[b.feature] < b.below
		values := f.rows[b.feature]
		for i := range features {
			kept := f.node[i][:0]
			for _, r := range f.node[i] {
				if (values[r] < b.below) == left {
					kept = append(kept, r)
				}
			}
			f.node[i] = kept
		}
	}
	n, sum := f.total(targets)
	return sum / n
}

func (f *forest) total(targets []float64) (n, sum float64) {
	for _, r := range f.node[0] {
		w := float64(f.weight[r])
		n += w
		sum += w * targets[r]
	}
	return n, sum
}

// split looks for the threshold that lowers the squared error most. The first
// of equals wins, so the outcome does not depend on rounding elsewhere.
func (f *forest) split(targets []float64) (branch, bool) {
	n, sum := f.total(targets)
	// The error falls by score − sum²/n. What is under a billionth is rounding.
	best := branch{score: sum * sum / n * (1 + 1e-9)}
	found := false
	for i := range features {
		values, left, leftSum := f.rows[i], 0.0, 0.0
		for k, r := range f.node[i] {
			if left >= minLeaf && n-left >= minLeaf && values[r] > values[f.node[i][k-1]] {
				right := sum - leftSum
				if score := leftSum*leftSum/left + right*right/(n-left); score > best.score {
					best = branch{i, values[r], score}
					found = true
				}
			}
			w := float64(f.weight[r])
			left += w
			leftSum += w * targets[r]
		}
	}
	return best, found
}
