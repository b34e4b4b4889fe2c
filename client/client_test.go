package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

func newTestClient(t *testing.T, f *fakeMeterd, change func(*Options)) *Client {
	t.Helper()
	o := Options{
		URL: "http://meterd.test/base", Token: "secret", Producer: "gw-1", HTTPClient: &http.Client{Transport: f},
		Transport: OverHTTP,
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closeClient(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func up(device string, size int64) Event {
	return Event{Type: event.Up, Product: "p1", Device: device, Size: size}
}

func TestLoneEventGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{}
		c := newTestClient(t, f, nil)
		defer closeClient(t, c)
		start := time.Now()
		v, err := c.Decide(t.Context(), Event{
			Type: event.Up, Product: "p1", Device: "d1", Topic: "a\"b", Payload: []byte("21.5 °C"), Time: time.UnixMilli(1500),
		})
		if err != nil || !v.Accepted || v.Unasked || !v.Is(event.Accepted) {
			t.Fatalf("verdict %+v, error %v", v, err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a lone event waited %v", waited)
		}
		r := f.requests[0]
		size := int64(8)
		want := line{
			Type: "up", Product: "p1", Device: "d1", Topic: "a\"b", Payload: "21.5 °C", Size: &size, TimeMs: 1500,
		}
		if !reflect.DeepEqual(r.lines, []line{want}) || r.path != "/base/v1/events" || r.producer != "gw-1" ||
			r.token != "Bearer secret" {
			t.Errorf("request %+v\nwant %+v", r, want)
		}
	})
}

func TestConcurrentCallersShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: 2 * time.Millisecond}
		c := newTestClient(t, f, nil)
		defer closeClient(t, c)
		const callers = 1000
		start := time.Now()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if v, err := c.Decide(t.Context(), up(fmt.Sprintf("d%d", i), 1)); err != nil || !v.Accepted {
					t.Errorf("verdict %+v, error %v", v, err)
				}
			})
		}
		wg.Wait()
		// A lane's first batch may be a lone event; everybody else in it shares the second.
		if n := len(f.requests); n > 2*c.opts.InFlightMax {
			t.Errorf("%d callers took %d requests, at most %d expected", callers, n, 2*c.opts.InFlightMax)
		}
		// Two trips, and at most one wait for others (the clock is synctest's).
		if took := time.Since(start); took > 2*f.latency+c.opts.Linger {
			t.Errorf("took %v", took)
		}
	})
}

func TestEventsWaitForCompanyWhileOthersAreInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: 100 * time.Millisecond}
		c := newTestClient(t, f, nil)
		defer closeClient(t, c)
		busy := up("busy", 1)
		if _, err := c.Begin(t.Context(), busy); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // It is in flight.
		other := up("d0", 1)
		for i := 1; c.lane(&other) == c.lane(&busy); i++ {
			other = up(fmt.Sprintf("d%d", i), 1)
		}
		start := time.Now()
		first, err := c.Begin(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(c.opts.Linger / 2)
		if _, err := c.Decide(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(f.requests) != 2 || len(f.requests[1].lines) != 2 {
			t.Errorf("%d requests; the two events should have shared the second", len(f.requests))
		}
		if took := time.Since(start); took != c.opts.Linger+f.latency {
			t.Errorf("the first waited %v for others and the answer", took)
		}
	})
}

func TestBatchStopsAtItsBounds(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"events": func(o *Options) { o.BatchEventsMax = 10 },
		"bytes": func(o *Options) {
			e := up("d000", 1)
			o.BatchBytesMax = 10 * e.encodedMax()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMeterd{latency: time.Millisecond}
				c := newTestClient(t, f, func(o *Options) { o.InFlightMax = 1; change(o) })
				defer closeClient(t, c)
				var wg sync.WaitGroup
				for i := range 101 {
					wg.Go(func() { _, _ = c.Decide(t.Context(), up(fmt.Sprintf("d%03d", i), 1)) })
				}
				wg.Wait()
				events := 0
				for _, r := range f.requests {
					events += len(r.lines)
					if len(r.lines) > 10 {
						t.Errorf("a batch of %d", len(r.lines))
					}
				}
				if events != 101 {
					t.Errorf("%d events arrived", events)
				}
			})
		})
	}
}

func TestEventsOfADeviceKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Millisecond}
		c := newTestClient(t, f, func(o *Options) { o.BatchEventsMax = 7 })
		const devices, events = 20, 200
		var wg sync.WaitGroup
		for d := range devices {
			wg.Go(func() {
				var last *Pending
				for i := range events {
					p, err := c.Begin(t.Context(), up(fmt.Sprintf("d%d", d), int64(i+1)))
					if err != nil {
						t.Error(err)
						return
					}
					last = p
				}
				if _, err := last.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		closeClient(t, c)
		if f.overlap != nil {
			t.Error(f.overlap)
		}
		for d, sizes := range f.sizes() {
			if len(sizes) != events || !slices.IsSorted(sizes) {
				t.Errorf("device %s: %v", d, sizes)
			}
		}
	})
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"events": func(o *Options) { o.QueueEventsMax = 3 },
		"bytes": func(o *Options) {
			e := up("d1", 1)
			o.QueueBytesMax = 3 * e.encodedMax()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMeterd{latency: time.Second}
				c := newTestClient(t, f, change)
				defer closeClient(t, c)
				if _, err := c.Begin(t.Context(), up("d1", 1)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // The first is in flight and out of the queue.
				for range 3 {
					if _, err := c.Begin(t.Context(), up("d1", 1)); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				if _, err := c.Decide(t.Context(), up("d1", 1)); !errors.Is(err, ErrOverloaded) || time.Since(start) != 0 {
					t.Fatalf("error %v after %v", err, time.Since(start))
				}
				time.Sleep(3 * time.Second)
				if _, err := c.Decide(t.Context(), up("d1", 1)); err != nil {
					t.Errorf("after the queue emptied: %v", err)
				}
			})
		})
	}
}

func TestDenialsAreHandedToTheirEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Millisecond}
		f.answer = func(_ int, r request) (*http.Response, error) {
			accepted, denied := 0, []string{}
			for i, l := range r.lines {
				switch *l.Size {
				case 2:
					denied = append(denied, fmt.Sprintf(
						`{"index":%d,"code":"message_quota_exceeded","limit":1500,"used":1500,"resets_at":"2027-01-01T00:00:00Z"}`, i))
				case 3:
					denied = append(denied, fmt.Sprintf(`{"index":%d,"code":"code_of_the_future","whatever":[1]}`, i))
				default:
					accepted++
				}
			}
			return respond(200, fmt.Sprintf(`{"accepted":%d,"denied":[%s]}`, accepted, strings.Join(denied, ","))), nil
		}
		c := newTestClient(t, f, nil)
		defer closeClient(t, c)
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				size := int64(i%3 + 1)
				v, err := c.Decide(t.Context(), up(fmt.Sprintf("d%d", i), size))
				switch {
				case err != nil:
					t.Error(err)
				case size == 1 && !v.Accepted:
					t.Errorf("size 1: %+v", v)
				case size == 2 && (!v.Is(event.MessageQuotaExceeded) || v.Limit != 1500 || v.Used != 1500 ||
					v.ResetsAt.Year() != 2027 || v.Accepted):
					t.Errorf("size 2: %+v", v)
				case size == 3 && (v.Accepted || v.Code != "code_of_the_future"):
					t.Errorf("size 3: %+v", v)
				}
			})
		}
		wg.Wait()
	})
}

func TestCloseFlushesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Second}
		c := newTestClient(t, f, nil)
		var pending []*Pending
		for i := range 50 {
			p, err := c.Begin(t.Context(), up("d1", int64(i+1)))
			if err != nil {
				t.Fatal(err)
			}
			pending = append(pending, p)
		}
		closeClient(t, c)
		for i, p := range pending {
			if v, err := p.Wait(t.Context()); err != nil || !v.Accepted {
				t.Errorf("event %d: %+v, %v", i, v, err)
			}
		}
		if _, err := c.Begin(t.Context(), up("d1", 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestInvalidEventsAndOptionsAreRefused(t *testing.T) {
	f := &fakeMeterd{}
	c := newTestClient(t, f, nil)
	defer closeClient(t, c)
	for _, e := range []Event{
		{},
		{Type: event.Up, Product: "p 1", Device: "d1"},
		{Type: event.Up, Product: "p1", Device: strings.Repeat("d", 65)},
		{Type: event.Up, Product: "p1", Device: "d1", Topic: strings.Repeat("t", 257)},
		{Type: event.Up, Product: "p1", Device: "d1", Payload: make([]byte, event.PayloadBytesMax+1)},
		{Type: event.OTA, Product: "p1", Device: "d1", Size: -1},
		{Type: event.OTAVoid, Product: "p1", Device: "d1", ID: "\n"},
	} {
		if _, err := c.Begin(t.Context(), e); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v %s/%s: %v", e.Type, e.Product, e.Device, err)
		}
	}
	_, err := New(Options{URL: "ftp://x", Producer: "", InFlightMax: 65, Token: "a b"})
	for _, want := range []string{"URL", "producer", "InFlightMax", "token"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestOffline(t *testing.T) {
	f := &fakeMeterd{}
	c := newTestClient(t, f, nil)
	defer closeClient(t, c)
	n, err := c.Offline(t.Context())
	if err != nil || n != 3 || f.requests[0].path != "/base/v1/producers/gw-1/offline" {
		t.Fatalf("%d, %v, %+v", n, err, f.requests)
	}
}
