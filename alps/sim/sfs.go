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
	turns float64 // the first turn, in mean gaps
}

// sfsWindow is how many gaps count.
const sfsWindow = 100

func newSFS(m *machine, gaps float64) *sfsClass {
	s := &sfsClass{fair: newCFS(m, false), last: -1, turns: gaps}
	s.hooks = &hooks{
		now:  func() int64 { return m.now },
		bias: func(int32) int64 { return 0 },
		keep: func(e *entity) int64 {
			if g := e.function(); g < 0 || g >= m.platform() {
				return 0
			}
			for e.my != nil {
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
	if t.platform {
		return s.fair.enqueue(core, t)
	}
	if s.last >= 0 {
		gap := s.m.now - s.last
		s.sum += gap - s.gaps[s.n%sfsWindow]
		s.gaps[s.n%sfsWindow] = gap
		s.n++
		s.slice = int64(s.turns * float64(s.sum) / float64(min(s.n, sfsWindow)))
	}
	s.last = s.m.now
	return s.fair.enqueue(core, t)
}
