package sim

// sfsClass is SFS as the paper of ALPS ran it, in the frame of its own hooks: an
// invocation keeps the CPU for the mean gap between the last arrivals, once;
// then it is CFS's.
type sfsClass struct {
	*fair
	gaps  [sfsWindow]int64 // a ring of the last gaps
	n     int
	last  int64
	sum   int64
	slice int64
	cores int64 // factor on the mean gap
}

// sfsWindow is how many gaps count.
const sfsWindow = 100

func newSFS(m *machine, factor int) *sfsClass {
	s := &sfsClass{fair: newCFS(m, false), last: -1, cores: int64(factor)}
	s.hooks = &hooks{
		now:  func() int64 { return m.now },
		bias: func(int32) int64 { return 0 },
		keep: func(e *entity) int64 {
			if e.my != nil {
				if e = e.my.curr; e == nil {
					return 0
				}
			}
			if e.sum >= s.slice {
				return 0 // demoted
			}
			return s.slice
		},
	}
	return s
}

func (s *sfsClass) enqueue(core int, t *task) bool {
	if s.last >= 0 {
		gap := s.m.now - s.last
		s.sum += gap - s.gaps[s.n%sfsWindow]
		s.gaps[s.n%sfsWindow] = gap
		s.n++
		s.slice = s.cores * s.sum / int64(min(s.n, sfsWindow))
	}
	s.last = s.m.now
	return s.fair.enqueue(core, t)
}
