package views

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A pinned view stands at the last group that was durable when Pin was called, not at a later one, however much comes
// meanwhile; and it does not move before the call has returned.
func TestPinStopsAtTheLastDurableGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{}
		for range 3 {
			s.add(applyBytesMax)
		}
		r, err := Open(options(s, v))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		r.Durable(s.add(0))
		s.add(0) // The log has it, but the runner was not told yet.
		pinned, goOn := make(chan Position), make(chan struct{})
		go func() {
			_ = r.Pin(context.Background(), v, func(at Position) error {
				pinned <- at
				<-goOn
				return nil
			})
		}()
		at := <-pinned
		r.Durable(s.groups[4])
		r.Durable(s.add(0))
		synctest.Wait()
		if at != position(4) || v.Position() != at {
			t.Fatalf("pinned at %v, the view stands at %v", at, v.Position())
		}
		close(goOn)
		if err := r.WaitFor(v, 6); err != nil || !slices.Equal(v.seen, numbers(1, 6)) {
			t.Fatalf("%v, saw %v", err, v.seen)
		}
		// Nothing came since: the view stands there already.
		if err := r.Pin(context.Background(), v, func(at Position) error {
			if at != position(6) {
				t.Errorf("pinned at %v", at)
			}
			return errors.New("not now")
		}); err == nil || err.Error() != "not now" {
			t.Fatal(err)
		}
	})
}

// Whoever pins hears when the view does not get there, and is not called later; the view goes on all the same.
func TestPinGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{failed: errors.New("the disk is gone")}
		r, err := Open(options(s, v))
		if err != nil {
			t.Fatal(err)
		}
		r.Durable(s.add(0))
		called := func(Position) error { t.Error("called"); return nil }
		if err := r.Pin(t.Context(), v, called); !errors.Is(err, ErrLags) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Pin(ctx, v, called); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		v.fail(nil)
		r.Durable(s.add(0))
		if err := r.WaitFor(v, 2); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if err := r.Pin(t.Context(), v, called); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	})
}

// Groups come at random, in memory or from the log alone, and many pin at once: each is called once, at a group that
// was durable when it asked, and the view gets every group once.
func TestPinsBesideTraffic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 100, applyBytesMax, tailBytesMax}), 1, 40).Draw(rt, "groups")
		every := rapid.IntRange(1, 7).Draw(rt, "every")
		synctest.Test(t, func(t *testing.T) {
			s, v := &memSource{first: 1}, &memView{}
			r, err := Open(options(s, v))
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i, n := range sizes {
				g := s.add(n)
				r.Durable(g)
				if i%every == 0 {
					wg.Go(func() {
						calls := 0
						err := r.Pin(t.Context(), v, func(at Position) error {
							calls++
							if at.Seq < g.Seq || at != v.Position() {
								t.Errorf("pinned at %v by somebody who saw group %d; the view stands at %v", at, g.Seq, v.Position())
							}
							return nil
						})
						if err != nil || calls != 1 {
							t.Errorf("%d calls, %v", calls, err)
						}
					})
				}
				if i%3 == 0 {
					synctest.Wait()
				}
			}
			wg.Wait()
			last := uint64(len(sizes))
			if err := r.WaitFor(v, last); err != nil || !slices.Equal(v.seen, numbers(1, last)) {
				t.Errorf("%v, saw %v", err, v.seen)
			}
			r.Close()
		})
	})
}
