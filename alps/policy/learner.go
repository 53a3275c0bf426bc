// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"gonum.org/v1/gonum/stat"
)

// Learner says how a function's next time slice is guessed from the lengths of
// its on-CPU segments in the SRPT simulation, oldest first.
type Learner uint8

const (
	// Average is their mean.
	Average Learner = iota
	// LinearRegression is the least-squares line through (0, first), (1, second),
	// …, read at the number after the last; not below 0. As the line is read only
	// one step beyond what was seen, it never says more than twice the largest.
	LinearRegression
	// RandomForest is a mean of regression trees over a segment's number and the
	// segments before it, asked for the next. See forest.
	RandomForest
	// EWMA is the mean with weights (1 − EWMAWeight)ⁱ for the segment i before the
	// newest, divided by their sum, so the first segment weighs no more than its age allows.
	EWMA
)

// learn guesses the value after ys, which holds at least one.
func (p *Policy) learn(ys []float64, mean float64) float64 {
	switch {
	case len(ys) == 1:
		return ys[0]
	case p.params.Learner == LinearRegression:
		return max(line(p.positions(len(ys)), ys), 0)
	case p.params.Learner == RandomForest:
		return p.forest.predict(ys, p.params.Seed)
	case p.params.Learner == EWMA:
		return ewma(ys, p.params.EWMAWeight)
	case p.params.Learner == Average:
		return mean
	}
	panic(fmt.Sprintf("policy: learner %s has no rule", p.params.Learner)) // Validate refuses one that has no name
}

func line(xs, ys []float64) float64 {
	a, b := stat.LinearRegression(xs, ys, nil, false)
	return a + b*float64(len(ys))
}

func ewma(ys []float64, weight float64) float64 {
	sum, norm := 0.0, 0.0
	for _, y := range ys {
		sum = (1-weight)*sum + y
		norm = (1-weight)*norm + 1
	}
	return sum / norm
}

// positions is 0, 1, … n−1.
func (p *Policy) positions(n int) []float64 {
	for len(p.xs) < n {
		p.xs = append(p.xs, float64(len(p.xs)))
	}
	return p.xs[:n]
}
