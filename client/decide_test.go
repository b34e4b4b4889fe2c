package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

// Submit keeps the order of each device, and an event that fails does not take the others with it.
func TestSubmit(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"room":    func(*Options) {},
		"waiting": func(o *Options) { o.QueueEventsMax, o.QueueWaits = 3, true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMeterd{latency: time.Millisecond}
				c := newTestClient(t, f, change)
				var events []Event
				for i := range 60 {
					events = append(events, up(fmt.Sprintf("d%d", i%7), int64(i+1)))
				}
				events[5].Device = "not a name"
				for i, r := range c.Submit(t.Context(), events) {
					if i == 5 && !errors.Is(r.Err, ErrInvalid) || i != 5 && (r.Err != nil || !r.Verdict.Accepted) {
						t.Errorf("event %d: %+v", i, r)
					}
				}
				arrived := 0
				for device, sizes := range f.sizes() {
					arrived += len(sizes)
					for i := 1; i < len(sizes); i++ {
						if sizes[i] <= sizes[i-1] {
							t.Errorf("%s: %d", device, sizes)
						}
					}
				}
				if arrived != 59 {
					t.Errorf("%d events arrived", arrived)
				}
				closeClient(t, c)
				for _, r := range c.Submit(t.Context(), events[:2]) {
					if !errors.Is(r.Err, ErrClosed) {
						t.Errorf("after Close: %+v", r)
					}
				}
			})
		})
	}
}

// A caller that waits for room gets it, or hears why not: its context ended, the client was closed, or it asks for more
// than there ever is.
func TestFullQueueMakesCallersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Second}
		one := up("d1", 1)
		c := newTestClient(t, f, func(o *Options) {
			o.QueueEventsMax, o.QueueBytesMax, o.QueueWaits, o.OnUnavailable = 1, one.encodedMax(), true, FailOpen
		})
		for range 2 {
			if _, err := c.Begin(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // The first is in flight, the second in the queue.
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var unavailable *UnavailableError
		if _, err := c.Decide(short, one); !errors.As(err, &unavailable) || unavailable.Ambiguous {
			t.Errorf("a caller who gave up: %v", err)
		}
		start := time.Now()
		if v, err := c.Decide(t.Context(), one); err != nil || v.Unasked || time.Since(start) < time.Second {
			t.Errorf("%+v, %v after %v", v, err, time.Since(start))
		}
		long := Event{Type: event.Up, Product: "p1", Device: "d1", Payload: make([]byte, 100)}
		if _, err := c.Decide(t.Context(), long); !errors.Is(err, ErrOverloaded) {
			t.Errorf("what never has room: %v", err)
		}
		for range 2 {
			if _, err := c.Begin(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		closed := make(chan error)
		go func() {
			_, err := c.Decide(t.Context(), one)
			closed <- err
		}()
		synctest.Wait()
		go closeClient(t, c)
		if err := <-closed; !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		time.Sleep(time.Minute) // Until Close has returned.
	})
}
