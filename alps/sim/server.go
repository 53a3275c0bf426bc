// SPDX-License-Identifier: Apache-2.0

package sim

// step is what a task does for a request.
type step uint8

const (
	alone     step = iota // an invocation, or a process of the platform's for this request only
	accepting             // the server takes the request, with its lock
	serving               // a thread uses the platform's CPU time, without the lock
	forking               // that thread forks the invocation, with the lock
	replying              // it answers when the invocation has ended, with the lock
)

// server is the process that serves all requests of one function, with a lock that one
// of its threads has at a time, as Python's interpreter has. A thread that wants the lock
// while another has it sleeps until it is given the lock, and has it from then on: also
// while it waits for a CPU.
type server struct {
	locked  bool
	waiting []*task
}

// locked reports whether a step needs the server's lock. Its thread has slept, and is woken for it.
func (s step) locked() bool { return s != alone && s != serving }

// serve begins a step of a function's server, which takes so much CPU time: at once, or if the step needs the lock, once it has it.
func (m *machine) serve(index int32, s step, demand int64) {
	t := &task{index: index, function: int32(m.invocations[index].Function), platform: true, step: s, demand: demand}
	if on := &m.servers[t.function]; s.locked() {
		if on.locked {
			on.waiting = append(on.waiting, t)
			return
		}
		on.locked = true
	}
	m.spawn(t)
}

// unlock gives the lock of a function's server to the thread that has waited for longest.
func (m *machine) unlock(function int32) {
	s := &m.servers[function]
	if s.locked = len(s.waiting) > 0; s.locked {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		m.spawn(next)
	}
}

// goesOn reports whether t, whose step is over, goes on with the next one without
// leaving its CPU: it has served, and nobody has the lock that it needs to fork.
func (m *machine) goesOn(t *task) bool {
	if t.step != serving || m.servers[t.function].locked {
		return false
	}
	m.servers[t.function].locked = true
	t.step, t.left, t.demand = forking, t.left+int64(m.Platform.Lock), t.demand+int64(m.Platform.Lock)
	return true
}

// next is what follows on the end of a task that did this step for a request of a function's.
func (m *machine) next(index, function int32, platform bool, s step) {
	held := int64(m.Platform.Lock)
	switch {
	case s == accepting:
		m.serve(index, serving, int64(m.Platform.CPU)-2*held)
	case s == serving:
		m.serve(index, forking, held)
	case platform && s != replying:
		m.fork(index)
	case !platform && held > 0:
		m.serve(index, replying, held)
	}
	if s.locked() {
		m.unlock(function)
	}
}
