package ingest

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scripted is a write call with given results; a call beyond the last one fails the test.
type scripted struct {
	t       *testing.T
	answers []answer
	asked   []int // how many bytes each call was given
}

type answer struct {
	n   int
	err error
}

func (s *scripted) write(b []byte) (int, error) {
	s.asked = append(s.asked, len(b))
	if len(s.answers) == 0 {
		s.t.Fatal("written once too often")
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	return a.n, a.err
}

// Only EAGAIN or an error may end a write that is not complete.
func TestWriteUntilFull(t *testing.T) {
	for _, c := range []struct {
		what    string
		answers []answer
		asked   string
		n       int
		err     error
	}{
		{"at once", []answer{{10, nil}}, "[10]", 10, nil},
		{"a signal before", []answer{{-1, unix.EINTR}, {-1, unix.EINTR}, {10, nil}}, "[10 10 10]", 10, nil},
		{"a signal amid", []answer{{4, nil}, {-1, unix.EINTR}, {6, nil}}, "[10 6 6]", 10, nil},
		{"full", []answer{{4, nil}, {-1, unix.EAGAIN}}, "[10 6]", 4, nil},
		{"full from the beginning, after a signal", []answer{{-1, unix.EINTR}, {-1, unix.EAGAIN}}, "[10 10]", 0, nil},
		{"broken", []answer{{4, nil}, {-1, unix.EPIPE}}, "[10 6]", 4, unix.EPIPE},
	} {
		s := &scripted{t: t, answers: c.answers}
		n, err := writeUntilFull(s.write, make([]byte, 10))
		if n != c.n || !errors.Is(err, c.err) || fmt.Sprint(s.asked) != c.asked {
			t.Errorf("%s: %d, %v after %v; want %d, %v after %s", c.what, n, err, s.asked, c.n, c.err, c.asked)
		}
	}
}

// Signals neither end a wait for events nor lose an event.
func TestWaitBetweenSignals(t *testing.T) {
	r, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := socket(pair[0]), socket(pair[1])
	defer near.close()
	defer far.close()
	into := make([]epollEvent, 8)
	if err := r.add(near); err != nil {
		t.Fatal(err)
	}
	if n := r.now(into); n != 1 || mayRead(&into[0]) {
		t.Fatalf("a new socket may be written: %d, %+v", n, into[0])
	}
	thread, found := make(chan int, 1), make(chan int, 1)
	var isWaiting atomic.Bool
	isWaiting.Store(true)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		found <- r.wait(into, time.Hour)
		isWaiting.Store(false)
	}()
	tid := <-thread
	for i := range 1000 {
		if !isWaiting.Load() {
			t.Fatalf("it waited no more after %d signals", i)
		}
		// The runtime's own signal for preemption: it takes no notice of one too many.
		if err := unix.Tgkill(unix.Getpid(), tid, unix.SIGURG); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := far.write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-found:
		if n != 1 || !mayRead(&into[0]) {
			t.Errorf("found %d: %+v", n, into[0])
		}
	case <-time.After(patience):
		t.Error("it waits although there is something to read")
	}
}
