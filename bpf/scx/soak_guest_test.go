// SPDX-License-Identifier: Apache-2.0

package scx_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ds2-lab/alps/bpf"
	"github.com/ds2-lab/alps/bpf/scx"
	"github.com/ds2-lab/alps/internal/cgrouptest"
	"github.com/ds2-lab/alps/internal/ring"
)

// soakDirs names the functions' cgroups of a process that plays scheduler.
const soakDirs = "ALPS_SOAK_DIRS"

// playScheduler is a daemon that is killed: it is in charge of the functions named
// until then.
func playScheduler() {
	s, err := scx.Load(scx.Options{})
	if dirs := os.Getenv(soakDirs); err == nil && dirs != "" {
		err = steer(s, strings.Split(dirs, ":"), rand.New(rand.NewPCG(3, 4)))
	}
	fmt.Println(err)
	for {
		time.Sleep(time.Hour) // select {} would end the process: Go takes it for a deadlock
	}
}

// steer makes some of the cgroups functions, with rules and an order made at random.
func steer(s *scx.Scheduler, dirs []string, random *rand.Rand) error {
	var functions []bpf.Function
	rules := map[bpf.CgroupID]scx.Rule{}
	for _, dir := range dirs[:random.IntN(len(dirs)+1)] {
		id, err := bpf.CgroupOf(dir)
		if err != nil {
			return err
		}
		functions = append(functions, bpf.Function{ID: id, UID: filepath.Base(dir), Cgroup: dir})
		rules[id] = always(time.Duration(1+random.IntN(10_000))*time.Millisecond, time.Duration(1+random.IntN(1000))*time.Millisecond)
		if random.IntN(3) == 0 {
			rules[id] = scx.Rule{Bias: time.Duration(random.IntN(1e10)), Slice: time.Duration(random.IntN(1e8))}
		}
	}
	return errors.Join(s.SetFunctions(functions, nil), s.SetRules(rules, scx.Rule{Bias: time.Second}),
		s.SetOrder(scx.Order{Octave: time.Duration(random.IntN(3)) * time.Second}), s.KeepAlive(time.Minute))
}

// TestSoak is everything at once, for ALPS_SOAK: the scheduler comes and goes, by
// itself and with a process that is killed; functions, rules, limits and weights
// change; CPUs and cgroups come and go; invocations end. The target kernel:soak
// runs it and reads the kernel's log afterwards.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("ALPS_SOAK"))
	ring.Need(t, ring.Long, err == nil, "run by the target kernel:soak")
	t.Setenv("ALPS_CPU", "-1")
	p := cgrouptest.NewParent(t)
	write(t, p.Dir, "cpu.weight", "10") // where the CPUs are emulated, loading would take minutes beside hogs
	var dirs []string
	for i := range 6 {
		dirs = append(dirs, p.Group(fmt.Sprint("f", i)))
	}
	p.Hog(dirs[0])
	for _, dir := range dirs[1:3] {
		p.Start(dir, "forked restless").Scan()
	}
	var n struct{ loaded, killed, updates, hotplugged, storms, changed, invoked atomic.Int64 }
	over := time.Now().Add(length)
	const loads = 5 // at least: with everything else at once, and emulated, one takes up to half a minute
	s := &soak{t: t, goesOn: func() bool { return time.Now().Before(over) || n.killed.Load() < loads && !t.Failed() }}
	random := rand.New(rand.NewPCG(1, 2)) // of the scheduler's goroutine alone
	s.every(&n.loaded, 0, loads, func() error {
		m, err := scx.Load(scx.Options{})
		if err != nil {
			return err
		}
		for range 50 {
			if err := steer(m, dirs, random); err != nil {
				return errors.Join(err, m.Close())
			}
			n.updates.Add(1)
			time.Sleep(10 * time.Millisecond)
		}
		if end, ended := m.Ended(); ended {
			return errors.Join(end, m.Close())
		}
		if err := errors.Join(m.Close(), givenBack()); err != nil {
			return err
		}
		if err := killScheduler(dirs); err != nil {
			return err
		}
		n.killed.Add(1)
		return nil
	})
	s.every(&n.hotplugged, time.Second, 10, func() error {
		for _, state := range []string{"0", "1"} {
			if err := os.WriteFile("/sys/devices/system/cpu/cpu1/online", []byte(state), 0); err != nil {
				return err
			}
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	})
	s.every(&n.storms, 100*time.Millisecond, 10, func() error { return storm(dirs[3]) })
	s.every(&n.changed, 20*time.Millisecond, 10, func() error {
		at := n.changed.Load()
		dir := dirs[at%3]
		return errors.Join(os.WriteFile(dir+"/cpu.weight", fmt.Append(nil, 1+at*37%1000), 0),
			os.WriteFile(dir+"/cpu.max", []byte([]string{"max 100000", "20000 100000", "1000 5000"}[at%7%3]), 0))
	})
	for _, dir := range dirs[4:] {
		warm := p.Start(dir, "parent")
		s.every(&n.invoked, 0, 10, func() error { _, _, err := warm.InvokeOnce(); return err })
	}
	counts := func() string {
		return fmt.Sprintf("%d times loaded and closed, %d times killed with its process, %d updates of functions, rules and order, %d times a CPU went and came, "+
			"%d storms of 20 cgroups, %d changes of weight and limit, %d invocations ended",
			n.loaded.Load(), n.killed.Load(), n.updates.Load(), n.hotplugged.Load(), n.storms.Load(), n.changed.Load(), n.invoked.Load())
	}
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	for begun := time.Now(); ; {
		select {
		case <-time.After(20 * time.Second):
			t.Logf("%s: %s", time.Since(begun).Round(time.Second), counts())
			continue
		case <-done:
		}
		break
	}
	t.Log(counts())
}

// soak runs things at once until it is over, and then until each has been done often enough.
type soak struct {
	t       *testing.T
	goesOn  func() bool
	running sync.WaitGroup
}

func (s *soak) every(count *atomic.Int64, pause time.Duration, least int64, f func() error) {
	s.running.Go(func() {
		for s.goesOn() || count.Load() < least {
			if err := f(); err != nil {
				s.t.Error(err)
				return
			}
			count.Add(1)
			time.Sleep(pause)
		}
	})
}

// killScheduler has a process be in charge for a moment, and kills it.
func killScheduler(dirs []string) error {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "ALPS_PLAY=scheduler", soakDirs+"="+strings.Join(dirs, ":"))
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && line != "<nil>\n" {
		err = errors.New(line)
	}
	time.Sleep(100 * time.Millisecond)
	err = errors.Join(err, c.Process.Kill())
	_ = c.Wait() // that it was killed
	return errors.Join(err, givenBack())
}

// givenBack waits until no scheduler is loaded.
func givenBack() error {
	for begun := time.Now(); scx.InCharge() != ""; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			return fmt.Errorf("%s is in charge a minute after it was closed", scx.InCharge())
		}
	}
	return nil
}

// storm makes cgroups below dir, also in one another, and removes them.
func storm(dir string) error {
	var made []string
	for i := range 20 {
		d := filepath.Join(dir, fmt.Sprint("s", i))
		if i%2 == 1 {
			d = filepath.Join(made[i-1], "inner")
		}
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
		made = append(made, d)
	}
	for i := len(made) - 1; i >= 0; i-- {
		if err := os.Remove(made[i]); err != nil {
			return err
		}
	}
	return nil
}
