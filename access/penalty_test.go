package access

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

// penaltyBench is penalties that note how long they would have waited.
type penaltyBench struct {
	*Penalties
	held []time.Duration
}

func newPenaltyBench() *penaltyBench {
	b := &penaltyBench{}
	b.Penalties = NewPenalties(func(_ <-chan struct{}, d time.Duration) { b.held = append(b.held, d) })
	return b
}

func (b *penaltyBench) last() time.Duration { return b.held[len(b.held)-1] }

func TestPenaltiesGrowByCaller(t *testing.T) {
	b := newPenaltyBench()
	v6 := func(host byte) []byte { return []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host} }
	for i, c := range []struct {
		address []byte
		nowMs   int64
		want    time.Duration
	}{
		{[]byte{10, 0, 0, 1}, 0, 100 * time.Millisecond},
		{[]byte{10, 0, 0, 1}, 1000, 200 * time.Millisecond},
		{[]byte{10, 0, 0, 2}, 1000, 100 * time.Millisecond},
		// The same, written as IPv6.
		{[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, 1500, 400 * time.Millisecond},
		{[]byte{10, 0, 0, 1}, 2000, 800 * time.Millisecond},
		{[]byte{10, 0, 0, 1}, 3000, time.Second},
		{v6(1), 3000, 100 * time.Millisecond},
		{v6(2), 3000, 200 * time.Millisecond}, // Whoever has one of them has them all.
		{nil, 3000, 100 * time.Millisecond},
		{[]byte{1, 2, 3}, 3000, 200 * time.Millisecond},
		{[]byte{10, 0, 0, 1}, 60_000, time.Second},             // It is remembered for a minute,
		{[]byte{10, 0, 0, 2}, 119_999, 200 * time.Millisecond}, // at most for two,
		{[]byte{10, 0, 0, 1}, 239_999, 100 * time.Millisecond}, // and then forgotten.
		{[]byte{10, 0, 0, 1}, 1_000_000, 100 * time.Millisecond},
		{[]byte{10, 0, 0, 1}, 900_000, 200 * time.Millisecond}, // A clock that went back forgets nothing.
	} {
		if !b.Hold(c.address, c.nowMs, nil) || b.last() != c.want {
			t.Errorf("step %d, %v at %d: %s, want %s", i, c.address, c.nowMs, b.last(), c.want)
		}
	}
}

// However many callers there are, the table is bounded, and who comes from one address all the time is slowed down all
// the same.
func TestPenaltiesAreBounded(t *testing.T) {
	b := newPenaltyBench()
	guesser := []byte{192, 0, 2, 1}
	address := make([]byte, 4)
	for i := range uint32(5 * penaltyOriginsMax) {
		binary.BigEndian.PutUint32(address, i)
		b.Hold(address, 1, nil)
		if i%1000 == 0 {
			b.Hold(guesser, 1, nil)
		}
		if len(b.fresh) > penaltyOriginsMax || len(b.stale) > penaltyOriginsMax {
			t.Fatalf("%d and %d callers are remembered", len(b.fresh), len(b.stale))
		}
	}
	if b.Hold(guesser, 1, nil); b.last() != penaltyMost {
		t.Errorf("the guesser waits %s", b.last())
	}
}

// Answers are held without a lock, and as many as may be; one more is not, and when one was let go, the next one is.
func TestPenaltiesHeldAtATime(t *testing.T) {
	var p *Penalties
	var wg, inside sync.WaitGroup
	release := make(chan struct{})
	inside.Add(penaltiesHeldMax)
	p = NewPenalties(func(stop <-chan struct{}, _ time.Duration) {
		inside.Done()
		<-stop
	})
	for range penaltiesHeldMax {
		wg.Go(func() {
			if !p.Hold(nil, 0, release) {
				t.Error("an answer is not held back")
			}
		})
	}
	inside.Wait()
	if p.Hold(nil, 0, release) {
		t.Error("more answers than may be are held back")
	}
	close(release)
	wg.Wait()
	inside.Add(1)
	if !p.Hold(nil, 0, release) || p.held.Load() != 0 {
		t.Errorf("after that %d are held", p.held.Load())
	}
}

// A daemon that stops lets its callers go.
func TestPenaltiesEndWithTheServer(*testing.T) {
	stop := make(chan struct{})
	close(stop)
	waitTimer(stop, 1<<62)
	waitTimer(nil, 0)
}

func BenchmarkPenalties(b *testing.B) {
	p := NewPenalties(func(<-chan struct{}, time.Duration) {})
	address := make([]byte, 4)
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint32(address, uint32(i))
		p.Hold(address, 1, nil)
	}
}
