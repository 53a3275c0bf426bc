package policy

import "time"

// Job is what SRPT schedules.
type Job struct {
	ID     int64
	Arrive KTime
	Burst  time.Duration // ≥ 0
}

// Machine is where SRPT schedules.
type Machine struct {
	Cores       int           // 0 means 1
	Granularity time.Duration // a turn cannot be preempted before it has lasted so long
}

// Turn is one uninterrupted stay of a job on a core.
type Turn struct {
	Job    int // index into the jobs
	Start  KTime
	Length time.Duration // > 0
}

// Outcome is what became of one job.
type Outcome struct {
	End    KTime
	Wait   time.Duration   // End − Arrive − Burst
	Slices []time.Duration // lengths of its turns, in order; their sum is Burst
}

// SRPT schedules jobs shortest remaining time first and returns their
// outcomes, in the order of jobs.
func SRPT(jobs []Job, m Machine) ([]Outcome, error) { return nil, nil }
