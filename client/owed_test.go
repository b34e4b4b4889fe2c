package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

// outage is a fake that can be switched off, in one of two ways.
type outage struct {
	fakeMeterd
	down atomic.Pointer[func() (*http.Response, error)]
}

// goDown makes every request end as how says; up again with nil.
func (o *outage) goDown(how func() (*http.Response, error)) {
	if how == nil {
		o.down.Store(nil)
		return
	}
	o.down.Store(&how)
}

func refused() (*http.Response, error) { return respond(401, ""), nil } // nothing was counted
func cut() (*http.Response, error)     { return nil, errCut }           // who knows

func newOutage() *outage {
	o := &outage{}
	o.answer = func(_ int, r request) (*http.Response, error) {
		if down := o.down.Load(); down != nil {
			return (*down)()
		}
		return acceptAll(r), nil
	}
	return o
}

// count returns how many requests there were.
func (o *outage) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.requests)
}

// heard returns "type size" of every event that was answered, in order.
func (o *outage) heard(from int) (heard []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.requests[from:] {
		if strings.HasSuffix(r.path, "/offline") {
			heard = append(heard, "offline")
		}
		for _, l := range r.lines {
			s := l.Type
			if l.Size != nil {
				s += fmt.Sprint(" ", *l.Size)
			}
			heard = append(heard, s)
		}
	}
	return heard
}

func mustPass(t *testing.T, c *Client, e Event, unasked bool) {
	t.Helper()
	v, err := c.Decide(t.Context(), e)
	if err != nil || !v.Accepted || v.Unasked != unasked {
		t.Fatalf("%v: %+v, %v; unasked should be %v", e.Type, v, err, unasked)
	}
}

func TestFailOpenReportsLaterInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		reported := []string{}
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) {
			opts.OnUnavailable = FailOpen
			opts.Reported = func(e Event, v Verdict) { reported = append(reported, fmt.Sprint(e.Type, e.Device, v.Accepted)) }
		})
		defer closeClient(t, c)
		o.goDown(refused)
		mustPass(t, c, Event{Type: event.Connect, Product: "p1", Device: "d1"}, true)
		for i := range 3 {
			mustPass(t, c, Event{Type: event.Up, Product: "p1", Device: "d1", Payload: make([]byte, 10+i), Topic: "t"}, true)
		}
		if n := c.Stats().Unasked; n != 4 {
			t.Errorf("%d owed", n)
		}
		o.goDown(nil)
		from := o.count()
		time.Sleep(2 * probeEveryMax) // Nobody sends anything: the lane reports by itself.
		synctest.Wait()
		if got, want := o.heard(from), []string{"connect", "up 10", "up 11", "up 12"}; !slices.Equal(got, want) {
			t.Errorf("reported %v, want %v", got, want)
		}
		if want := []string{"connectd1true", "upd1true", "upd1true", "upd1true"}; !slices.Equal(reported, want) {
			t.Errorf("told %v", reported)
		}
		if s := c.Stats(); s.Unasked != 0 || s.UnaskedLost != 0 || s.Ambiguous != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestOwedGoesBeforeTheNextEventOfItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) { opts.OnUnavailable = FailOpen })
		defer closeClient(t, c)
		o.goDown(refused)
		mustPass(t, c, up("d1", 1), true)
		o.goDown(nil)
		from := o.count()
		mustPass(t, c, up("d1", 2), false) // At once: before the lane would report by itself.
		if got, want := o.heard(from), []string{"up 1", "up 2"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// What passes because the queue is full does not overtake what waits in it, and a disconnect has room all the same.
func TestFullQueueKeepsTheOrder(t *testing.T) {
	for _, policy := range []Policy{FailOpen, FailClosed} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeMeterd{latency: time.Second}
			c := newTestClient(t, f, func(o *Options) {
				o.OnUnavailable, o.InFlightMax, o.QueueEventsMax = policy, 1, 3
			})
			events := []Event{up("d1", 1), up("d1", 2), up("d1", 3), up("d1", 4), up("d1", 5)}
			events = append(events, Event{Type: event.Disconnect, Product: "p1", Device: "d1"}, up("d1", 6))
			overloaded := 0
			for i, e := range events {
				switch p, err := c.Begin(t.Context(), e); {
				case errors.Is(err, ErrOverloaded):
					overloaded++
				case err != nil:
					t.Fatal(err)
				case i == 0:
					synctest.Wait() // It is in flight.
				case policy == FailOpen && i == 4:
					if v, err := p.Wait(t.Context()); err != nil || !v.Unasked {
						t.Errorf("what found the queue full: %+v, %v", v, err)
					}
				}
			}
			time.Sleep(time.Minute)
			want := []int64{1, 2, 3, 4, 5, 6}
			if policy == FailClosed {
				want = want[:4]
			}
			if got := f.sizes()["d1"]; !slices.Equal(got, want) || overloaded != 6-len(want) {
				t.Errorf("policy %d: heard %d, %d overloaded", policy, got, overloaded)
			}
			if lines := f.requests[len(f.requests)-1].lines; !slices.ContainsFunc(
				lines,
				func(l line) bool { return l.Type == "disconnect" },
			) {
				t.Errorf("policy %d: the disconnect is missing: %+v", policy, lines)
			}
			closeClient(t, c)
		})
	}
}

// What was asked about without an answer passes, and is asked about again with the sequence and the bytes that it had:
// before anything else of its lane, whatever its age.
func TestWhatIsInDoubtIsAskedAboutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		reported := []string{}
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) {
			opts.OnUnavailable, opts.InFlightMax = FailOpen, 1
			opts.Reported = func(e Event, v Verdict) {
				reported = append(reported, fmt.Sprint(e.Type, " ", e.Device, " ", e.Topic, v.Accepted))
			}
		})
		defer closeClient(t, c)
		o.goDown(cut)
		first, err := c.Begin(
			t.Context(),
			Event{Type: event.Up, Product: "p1", Device: "d1", Topic: "t", Payload: []byte("x")},
		)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mustPass(t, c, up("d1", 2), true)
		mustPass(t, c, Event{Type: event.Connect, Product: "p1", Device: "d2"}, true)
		mustPass(t, c, up("d2", 3), true)
		if v, err := first.Wait(t.Context()); err != nil || !v.Unasked {
			t.Errorf("%+v, %v", v, err)
		}
		time.Sleep(time.Hour)
		o.goDown(nil)
		from := o.count()
		time.Sleep(2 * probeEveryMax)
		synctest.Wait()
		if got := o.heard(from); len(got) != 4 || got[0] != "up 1" {
			t.Errorf("reported %v, want the first up before the rest", got)
		}
		if again, was := o.requests[from], o.requests[0]; again.sequence != was.sequence || again.body != was.body {
			t.Errorf("asked about as %+v, and again as %+v", was, again)
		}
		if next := o.requests[from+1]; next.sequence == o.requests[0].sequence {
			t.Error("the rest was reported with a sequence that was used")
		}
		slices.Sort(reported)
		if want := []string{"connect d2 true", "up d1 true", "up d1 true", "up d2 true"}; !slices.Equal(reported, want) {
			t.Errorf("told %q", reported)
		}
		if s := c.Stats(); s.Ambiguous != 0 || s.Unasked != 0 || s.UnaskedLost != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Reports are as exact as questions: one whose answer was lost is sent again with its sequence.
func TestReportInDoubtIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) { opts.OnUnavailable, opts.InFlightMax = FailOpen, 1 })
		defer closeClient(t, c)
		o.goDown(refused)
		mustPass(t, c, up("d1", 1), true)
		mustPass(t, c, up("d1", 2), true)
		o.goDown(cut)
		from := o.count()
		time.Sleep(time.Minute)
		o.goDown(nil)
		time.Sleep(2 * probeEveryMax)
		synctest.Wait()
		last := len(o.requests) - 1
		for _, r := range o.requests[from:last] {
			if r.sequence != o.requests[from].sequence || r.body != o.requests[from].body {
				t.Errorf("sent as %+v, and again as %+v", o.requests[from], r)
			}
		}
		if got := o.heard(last - 1); !slices.Equal(got, []string{"up 1", "up 2"}) {
			t.Errorf("in the end meterd heard %q", got)
		}
		if s := c.Stats(); s.Ambiguous != 0 || s.Unasked != 0 || s.UnaskedLost != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Failing closed, what is in doubt is over: asking about it again could count what the device was refused. But a
// connect or disconnect counts nothing when it is repeated.
func TestRefusedMessagesAreNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) { opts.InFlightMax = 1; opts.Timeout = time.Second })
		defer closeClient(t, c)
		o.goDown(cut)
		if _, err := c.Decide(t.Context(), up("d1", 1)); err == nil {
			t.Error("a message passed")
		}
		mustPass(t, c, Event{Type: event.Disconnect, Product: "p1", Device: "d1"}, true)
		o.goDown(nil)
		from := o.count()
		time.Sleep(2 * probeEveryMax)
		if got := o.heard(from); !slices.Equal(got, []string{"disconnect"}) {
			t.Errorf("reported %v, want the disconnect alone", got)
		}
		if s := c.Stats(); s.Ambiguous != 1 || s.Unasked != 0 {
			t.Errorf("stats %+v, want the message ambiguous", s)
		}
	})
}

func TestCloseSaysWhatIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.goDown(cut)
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) { opts.OnUnavailable, opts.InFlightMax = FailOpen, 1 })
		for i := range 3 {
			mustPass(t, c, up("d1", int64(i+1)), true)
		}
		start := time.Now()
		err := c.Close(t.Context())
		if err == nil || !strings.Contains(err.Error(), "of 1 events") ||
			!strings.Contains(err.Error(), "2 events that passed unasked were not reported") {
			t.Errorf("Close said %v", err)
		}
		if took := time.Since(start); took > 2*c.opts.Timeout {
			t.Errorf("Close took %v", took)
		}
		if s := c.Stats(); s.Ambiguous != 1 || s.UnaskedLost != 2 || s.Unasked != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDisconnectIsKeptUnderEitherPolicy(t *testing.T) {
	for name, down := range map[string]func() (*http.Response, error){"refused": refused, "cut": cut} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutage()
				c := newTestClient(t, &o.fakeMeterd, nil) // fails closed
				defer closeClient(t, c)
				o.goDown(down)
				mustPass(t, c, Event{Type: event.Disconnect, Product: "p1", Device: "d1"}, true)
				if _, err := c.Decide(t.Context(), up("d2", 1)); err == nil {
					t.Error("a message passed although the policy is closed")
				}
				o.goDown(nil)
				from := o.count()
				time.Sleep(2 * probeEveryMax)
				if got := o.heard(from); !slices.Equal(got, []string{"disconnect"}) {
					t.Errorf("reported %v", got)
				}
			})
		})
	}
}

func TestTallyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.goDown(refused)
		c := newTestClient(
			t,
			&o.fakeMeterd,
			func(opts *Options) { opts.OnUnavailable = FailOpen; opts.UnaskedEventsMax = 10 },
		)
		for i := range 25 {
			mustPass(t, c, up(fmt.Sprintf("d%d", i), 1), true)
		}
		if s := c.Stats(); s.Unasked != 10 || s.UnaskedLost != 15 {
			t.Errorf("stats %+v", s)
		}
		err := c.Close(context.Background())
		if err == nil || !strings.Contains(err.Error(), "10 events") {
			t.Errorf("Close said %v", err)
		}
		if s := c.Stats(); s.Unasked != 0 || s.UnaskedLost != 25 {
			t.Errorf("stats after Close %+v", s)
		}
	})
}

func TestOwedOfflineGoesBeforeEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.goDown(refused)
		c := newTestClient(t, &o.fakeMeterd, func(opts *Options) { opts.OnUnavailable = FailOpen })
		defer closeClient(t, c)
		c.OweOffline()
		mustPass(t, c, Event{Type: event.Connect, Product: "p1", Device: "d1"}, true)
		if got := o.heard(0); !slices.Equal(got, []string{"offline"}) {
			t.Fatalf("heard %v before offline succeeded", got)
		}
		o.goDown(nil)
		from := o.count()
		time.Sleep(2 * probeEveryMax)
		if got := o.heard(from); !slices.Equal(got, []string{"offline", "connect"}) {
			t.Errorf("heard %v", got)
		}
	})
}
