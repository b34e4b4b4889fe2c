package history

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeProcess is a child that a test ends.
type fakeProcess struct {
	opened, ended chan struct{}
	err           error
	faulted       bool
	killed, asked atomic.Bool
}

func newProcess() *fakeProcess {
	return &fakeProcess{opened: make(chan struct{}), ended: make(chan struct{})}
}

func (p *fakeProcess) Opened() <-chan struct{} { return p.opened }
func (p *fakeProcess) Ended() <-chan struct{}  { return p.ended }
func (p *fakeProcess) Err() error              { return p.err }
func (p *fakeProcess) Faulted() bool           { return p.faulted }
func (p *fakeProcess) PID() int                { return 42 }

func (p *fakeProcess) End() { p.asked.Store(true); close(p.ended) }

func (p *fakeProcess) Kill() { p.killed.Store(true); close(p.ended) }

func (p *fakeProcess) die(faulted bool) {
	p.faulted, p.err = faulted, errors.New("exit status 2")
	close(p.ended)
}

// supervised is a supervisor whose children are fakes.
type supervised struct {
	*supervisor
	started chan *fakeProcess
	sick    atomic.Bool
	isFull  atomic.Bool
	moved   atomic.Int64
}

func supervise(ctx context.Context) *supervised {
	s := &supervised{started: make(chan *fakeProcess)}
	s.supervisor = &supervisor{
		name: "fake", logger: quiet, full: s.isFull.Load,
		start: func() (Process, error) {
			p := newProcess()
			s.started <- p
			return p, nil
		},
		healthy: func(ctx context.Context) error {
			if s.sick.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		},
		aside: func() error { s.moved.Add(1); return nil },
	}
	go s.run(ctx)
	return s
}

func TestAChildThatDiesIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervise(t.Context())
		pauses := []time.Duration{restartMin, 2 * restartMin, 4 * restartMin}
		for _, want := range pauses {
			p := <-s.started
			close(p.opened)
			synctest.Wait()
			if !s.up.Load() || s.pid.Load() != 42 {
				t.Fatal("it is not up")
			}
			died := time.Now()
			p.die(false) // As kill -9 ends it: its files are not to blame.
			next := <-s.started
			if got := time.Since(died); got != want {
				t.Fatalf("started again after %v, want %v", got, want)
			}
			go func() { s.started <- next }() // For the next round.
		}
		if p := <-s.started; s.moved.Load() != 0 || s.restarts.Load() != 3 {
			t.Fatalf("moved %d, restarted %d, %v", s.moved.Load(), s.restarts.Load(), p)
		}
	})
}

func TestFilesOfAChildThatCannotOpenThemAreMovedAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervise(t.Context())
		for range openFailsMax {
			(<-s.started).die(true)
		}
		p := <-s.started
		if s.moved.Load() != 1 || s.asides.Load() != 1 {
			t.Fatalf("moved %d times", s.moved.Load())
		}
		close(p.opened)
		time.Sleep(soundAfter) // It has proved sound: what went before is forgotten.
		p.die(true)
		for range openFailsMax - 2 {
			(<-s.started).die(true)
		}
		<-s.started
		if s.moved.Load() != 1 {
			t.Fatal("it was moved too early")
		}
	})
}

func TestAChildThatHangsIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervise(t.Context())
		p := <-s.started
		close(p.opened)
		time.Sleep(time.Minute)
		began := time.Now()
		s.sick.Store(true)
		<-p.ended
		if !p.killed.Load() || time.Since(began) > healthFailsMax*(healthEvery+healthWithin) {
			t.Fatalf("killed %v after %v", p.killed.Load(), time.Since(began))
		}
		p = <-s.started
		<-p.ended // It never opens its files.
		if !p.killed.Load() {
			t.Fatal("it was not killed")
		}
		<-s.started
	})
}

func TestAChildEndsWithTheDaemonAndForWantOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := supervise(ctx)
		p := <-s.started
		close(p.opened)
		s.isFull.Store(true)
		<-p.ended
		time.Sleep(time.Hour)
		if !p.asked.Load() || s.runs.Load() != 1 {
			t.Fatalf("asked %v, %d runs", p.asked.Load(), s.runs.Load())
		}
		s.isFull.Store(false)
		p = <-s.started
		cancel()
		<-p.ended
		if !p.asked.Load() || s.restarts.Load() != 0 {
			t.Fatal("it was not told to end")
		}
	})
}
