package policy

// Learner says how the next slice is guessed from the past ones.
type Learner uint8

const (
	Average          Learner = iota // their mean
	LinearRegression                // a line through them, read one further
	RandomForest                    // regression trees over position and recent slices
	EWMA                            // exponentially weighted mean, newest heaviest
)
