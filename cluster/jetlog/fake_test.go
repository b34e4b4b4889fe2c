package jetlog

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
)

// fakeStream is a stream in memory that does to its clients what a network and elections do: it loses messages and
// acknowledgements, delivers late, and answers reads from replicas that lag.
type fakeStream struct {
	mu       sync.Mutex
	rng      *rand.Rand
	messages []Stored
	late     []Stored // Seq is the sequence that was expected: they come when somebody else sends
	faults   float64  // how many of all calls go wrong
	noFence  bool     // expected sequences are not looked at
	faulted  int
	hint     chan uint64
}

var errFake = errors.New("no answer")

func newFakeStream(seed uint64, faults float64) *fakeStream {
	return &fakeStream{rng: rand.New(rand.NewPCG(seed, 1)), faults: faults, hint: make(chan uint64, 1)}
}

// fault reports whether something goes wrong. mu is held.
func (f *fakeStream) fault() bool {
	if f.rng.Float64() >= f.faults {
		return false
	}
	f.faulted++
	return true
}

func (f *fakeStream) last() uint64 {
	if len(f.messages) == 0 {
		return 0
	}
	return f.messages[len(f.messages)-1].Seq
}

// store is what the leader does. mu is held.
func (f *fakeStream) store(after uint64, b []byte) bool {
	if after != f.last() && !f.noFence {
		return false
	}
	f.messages = append(f.messages, Stored{f.last() + 1, append([]byte(nil), b...)})
	return true
}

func (f *fakeStream) Publish(_ context.Context, after uint64, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.late) > 0 && f.rng.IntN(3) == 0 {
		f.store(f.late[0].Seq, f.late[0].Data)
		f.late = f.late[1:]
	}
	answer := errFake
	switch {
	case !f.fault():
		if f.store(after, b) {
			answer = nil
		}
	case f.rng.IntN(3) == 0: // The acknowledgement is lost.
		f.store(after, b)
	case f.rng.IntN(2) == 0: // It is on its way for long.
		f.late = append(f.late, Stored{after, append([]byte(nil), b...)})
	}
	return answer
}

func (f *fakeStream) Read(_ context.Context, from uint64, bytesMax int) (list []Stored, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.messages
	if f.fault() {
		if f.rng.IntN(2) == 0 {
			return nil, errFake
		}
		all = all[:f.rng.IntN(len(all)+1)] // A replica that lags.
	}
	for _, m := range all {
		if m.Seq < from {
			continue
		}
		list = append(list, m)
		if bytesMax -= len(m.Data); bytesMax <= 0 {
			break
		}
	}
	return list, nil
}

func (f *fakeStream) Get(_ context.Context, seq uint64) (Stored, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault() {
		return Stored{}, errFake
	}
	for _, m := range f.messages {
		if m.Seq == seq {
			return m, nil
		}
	}
	return Stored{}, ErrNotThere
}

func (f *fakeStream) Size(context.Context) (Size, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault() {
		return Size{}, errFake
	}
	if len(f.messages) == 0 {
		return Size{First: 1}, nil
	}
	return Size{First: f.messages[0].Seq, Last: f.last()}, nil
}

func (f *fakeStream) News() <-chan uint64 { return f.hint }

// heal ends all faults.
func (f *fakeStream) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = 0
}
