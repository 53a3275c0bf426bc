package policy

import "time"

// Decision is what the policy wants for one function.
type Decision struct {
	UID string `json:"uid"`
	// Rank is ≥ 1, lower is sooner. Ranks are dense, and equal where SRPT made
	// no difference: then nothing is known about the order, and it is the kernel's.
	Rank int `json:"rank"`
	// Slice is how long the function may keep a CPU in one turn; 0 is the
	// kernel's own slice.
	Slice time.Duration `json:"slice_ns"`

	MeanWait    time.Duration `json:"mean_wait_ns"`   // per invocation under SRPT
	MeanSlice   time.Duration `json:"mean_slice_ns"`  // of the turns under SRPT
	StdevSlice  time.Duration `json:"stdev_slice_ns"` // population
	Learnt      time.Duration `json:"learnt_ns"`      // the learner's slice, before tuning
	MeanCPU     time.Duration `json:"mean_cpu_ns"`    // per invocation, as measured
	N           int           `json:"n"`              // turns behind MeanSlice and StdevSlice
	Invocations int           `json:"invocations"`    // records behind all of this
	Age         int           `json:"age"`            // updates since those records; 0 is this window
}

// Policy turns windows into decisions. It is not safe for concurrent use.
type Policy struct {
	params Params
}

// New checks p.
func New(p Params) (*Policy, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Policy{params: p}, nil
}

// Params are those New was given.
func (p *Policy) Params() Params { return p.params }

// Update learns from the records of one window and returns what it now wants
// of every function it knows, by rank, then UID.
//
// load is the CPU utilisation of the cores in percent; what lies outside
// [0, 100] counts as the nearer bound. cores < 1 counts as 1. The order of the records does
// not matter, except that of two which arrived in the same nanosecond the
// earlier in the slice goes first. Records without a UID, without CPU time,
// or absurd (CPU time above an hour) are left out.
func (p *Policy) Update(records []Record, load float64, cores int) []Decision {
	return nil
}

// Forget drops what is known of a function that is gone for good.
func (p *Policy) Forget(uid string) {}
