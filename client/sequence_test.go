package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

// sequenceOf returns the sequence of a request.
func sequenceOf(t *testing.T, r request) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(r.sequence, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The first batch goes on above what meterd remembers, far enough for what a gateway that was killed had on its way.
func TestSequencesGoOn(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		status int
		last   uint64
	}{
		"unknown":     {`{"code":"not_found"}`, 404, 0},
		"no sequence": {`{"producer":"gw-1","last_sequence":null,"oldest_remembered":null}`, 200, 0},
		"some":        {`{"producer":"gw-1","last_sequence":41,"oldest_remembered":1}`, 200, 41},
		"beyond 2^53": {
			`{"producer":"gw-1","last_sequence":9007199254740993,"oldest_remembered":1}`, 200, 9007199254740993,
		},
		"a new member": {`{"producer":"gw-1","last_sequence":7,"oldest_remembered":1,"whatever":[]}`, 200, 7},
		"the last bits": {
			fmt.Sprintf(`{"producer":"gw-1","last_sequence":%d}`, uint64(math.MaxUint64-sequenceRoom)), 200,
			math.MaxUint64 - sequenceRoom,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				f := &fakeMeterd{producer: func() (*http.Response, error) { asked++; return respond(tc.status, tc.answer), nil }}
				c := newTestClient(t, f, nil)
				defer closeClient(t, c)
				for i := range 3 {
					mustPass(t, c, up("d1", int64(i+1)), false)
				}
				first := sequenceOf(t, f.requests[0])
				if first <= tc.last+sequenceGap || first-tc.last-sequenceGap > sequenceSpread+1 {
					t.Errorf("it went on with %d after %d", first, tc.last)
				}
				for i, r := range f.requests {
					if sequenceOf(t, r) != first+uint64(i) {
						t.Errorf("request %d has the sequence %s, the first one %d", i, r.sequence, first)
					}
				}
				if asked != 1 {
					t.Errorf("asked %d times", asked)
				}
			})
		})
	}
}

// As long as meterd does not say where to go on, nothing is sent, and the policy holds.
func TestSequencesCannotBeLearned(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func() (*http.Response, error)
		tries  int // at least
	}{
		"dead": {cut, 8},
		"starting": {
			func() (*http.Response, error) { return respond(503, `{"code":"overloaded"}`, "Retry-After", "2"), nil }, 5,
		},
		"used up": {func() (*http.Response, error) {
			return respond(200, `{"producer":"x","last_sequence":18446744073709551615}`), nil
		}, 1},
		"unauthorized":  {func() (*http.Response, error) { return respond(401, `{"code":"unauthorized"}`), nil }, 1},
		"elsewhere":     {func() (*http.Response, error) { return respond(404, `no such page`), nil }, 1},
		"not an answer": {func() (*http.Response, error) { return respond(200, `{}`), nil }, 8},
		"not a sequence": {
			func() (*http.Response, error) { return respond(200, `{"producer":"x","last_sequence":-1}`), nil }, 8,
		},
	} {
		for _, policy := range []Policy{FailClosed, FailOpen} {
			t.Run(fmt.Sprint(name, policy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					asked := 0
					f := &fakeMeterd{producer: func() (*http.Response, error) { asked++; return tc.answer() }}
					c := newTestClient(t, f, func(o *Options) { o.OnUnavailable = policy })
					defer closeClient(t, c)
					v, err := c.Decide(t.Context(), up("d1", 1))
					var unavailable *UnavailableError
					switch {
					case policy == FailOpen && (err != nil || !v.Unasked):
						t.Errorf("%+v, %v", v, err)
					case policy == FailClosed && (!errors.As(err, &unavailable) || unavailable.Ambiguous):
						t.Errorf("%v", err)
					}
					if len(f.requests) > 0 || asked < tc.tries {
						t.Errorf("%d requests, asked %d times", len(f.requests), asked)
					}
					f.mu.Lock()
					f.producer = nil
					f.mu.Unlock()
					time.Sleep(2 * probeEveryMax)
					mustPass(t, c, up("d1", 2), false)
					if want := 1 + int(policy); len(f.sizes()["d1"]) != want { // Open: the first one was reported too.
						t.Errorf("heard %v", f.sizes())
					}
				})
			})
		}
	}
}

func TestWindowOfSequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sequences
		if err := s.goOn(0); err != nil {
			t.Fatal(err)
		}
		take := func() (ticket, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return s.take(ctx)
		}
		oldest, err := take()
		if err != nil {
			t.Fatal(err)
		}
		for range sequenceWindow - 1 {
			n, err := take()
			if err != nil {
				t.Fatal(err)
			}
			s.settle(n)
		}
		last, err := take()
		if err != nil || last.sequence-oldest.sequence != sequenceWindow {
			t.Fatalf("%+v after %+v, %v", last, oldest, err)
		}
		if n, err := take(); !errors.Is(err, errWindow) {
			t.Fatalf("%+v, %v beyond the window", n, err)
		}
		s.settle(last)
		s.settle(ticket{})
		if n, err := take(); !errors.Is(err, errWindow) {
			t.Fatalf("%+v, %v beyond the window", n, err)
		}
		time.AfterFunc(time.Second/2, func() { s.settle(oldest) })
		if n, err := take(); err != nil || n.sequence != last.sequence+1 {
			t.Errorf("%+v, %v when the oldest was settled", n, err)
		}
	})
}

// One lane that gets no answer holds the others before meterd could forget its sequence, and lets them go on
// afterwards.
func TestStuckLaneHoldsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{}
		stuck := true
		f.answer = func(_ int, r request) (*http.Response, error) {
			if stuck && r.lines[0].Device == "stuck" {
				return nil, errCut
			}
			return acceptAll(r), nil
		}
		c := newTestClient(t, f, func(o *Options) { o.Timeout = time.Hour })
		defer closeClient(t, c)
		slow, err := c.Begin(t.Context(), up("stuck", 1))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		other := up("d0", 1)
		for i := 1; c.lane(&other) == c.lane(&slow.event); i++ {
			other = up(fmt.Sprintf("d%d", i), 1)
		}
		time.AfterFunc(time.Minute, func() {
			f.mu.Lock()
			stuck = false
			f.mu.Unlock()
		})
		start, answered := time.Now(), 0
		for range 2 * sequenceWindow {
			mustPass(t, c, other, false)
			if time.Since(start) < time.Minute {
				answered++
			}
		}
		if answered != sequenceWindow {
			t.Errorf("%d batches overtook the one that got no answer", answered)
		}
		if v, err := slow.Wait(t.Context()); err != nil || !v.Accepted {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// After a collision the client goes on above what meterd remembers.
func TestClientGoesOnAfterACollision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{}
		const others = uint64(1) << 40
		f.answer = func(_ int, r request) (*http.Response, error) {
			if n, _ := strconv.ParseUint(r.sequence, 10, 64); n <= others {
				return respond(409, `{"code":"sequence_too_old"}`), nil
			}
			return acceptAll(r), nil
		}
		var told []error
		c := newTestClient(t, f, func(o *Options) {
			o.OnUnavailable = FailOpen
			o.ProducerShared = func(err error) { told = append(told, err) }
		})
		defer closeClient(t, c)
		c.sequences.known = true // It was learned before the other client came.
		f.producer = func() (*http.Response, error) {
			return respond(
				200,
				fmt.Sprintf(`{"producer":"gw-1","last_sequence":%d,"oldest_remembered":%d}`, others, others-320),
			), nil
		}
		mustPass(t, c, Event{Type: event.Connect, Product: "p1", Device: "d1"}, true)
		mustPass(t, c, up("d1", 1), false)
		for _, r := range f.requests[len(f.requests)-2:] { // What passed, and what came then.
			if len(r.lines) != 1 || sequenceOf(t, r) <= others {
				t.Errorf("then it sent %+v", r)
			}
		}
		if len(told) != 1 || !errors.Is(told[0], ErrProducerShared) {
			t.Errorf("told %v", told)
		}
	})
}

// FuzzParseProducer: no answer makes the parser panic, and none but a number is one.
func FuzzParseProducer(f *testing.F) {
	for _, s := range []string{
		`{"producer":"gw","last_sequence":41,"oldest_remembered":1}`, `{"producer":"gw","last_sequence":null}`, `{}`, ``,
		`{"producer":"gw","last_sequence":1e3}`, `{"producer":"gw","last_sequence":18446744073709551616}`,
		`{"producer":"gw","last_sequence":"1"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		last, err := parseProducer(answer)
		if err != nil && last != 0 {
			t.Fatalf("%d and %v", last, err)
		}
		again, err2 := parseProducer(fmt.Appendf(nil, `{"producer":"gw","last_sequence":%d}`, last))
		if err2 != nil || again != last {
			t.Fatalf("%d is read as %d, %v", last, again, err2)
		}
	})
}
