package history

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

const (
	up      = `meterd_messages_total{account="a",product="p",direction="up",verdict="accepted"}`
	down    = `meterd_messages_total{account="a",product="p",direction="down",verdict="accepted"}`
	refused = `meterd_messages_total{account="a",product="p",direction="up",verdict="message_quota_exceeded"}`
	would   = `meterd_would_deny_total{account="a",product="p",type="down",code="message_quota_exceeded"}`
	active  = `meterd_devices{account="a",product="p",state="active"}`
)

func expect(t *testing.T, s *fakeStore, want map[string]string) {
	t.Helper()
	for name, samples := range want {
		if got := s.series(name); got != samples {
			t.Errorf("%s:\n got %s\nwant %s", name, got, samples)
		}
	}
}

// What has changed is written, what has not only now and then; a counter that begins was zero before.
func TestSample(t *testing.T) {
	s := &fakeStore{}
	tr := newTier(s)
	p := Product{ID: 1, Account: "a", Name: "p", Usage: Usage{Up: 5}, DevicesActive: 2}
	at := int64(epochMs)
	look := func(refresh bool) {
		t.Helper()
		at += sampleEvery.Milliseconds()
		must(t, tr.sample(t.Context(), []Product{p}, at, refresh))
	}
	look(false) // All, since nothing was written yet. What is not zero may have begun long ago.
	p.Usage.Up = 7
	look(false)
	look(false)
	look(true)
	p.Usage.Denied = denied(3)
	p.Usage.WouldDeny = []Denied{{event.Down, event.MessageQuotaExceeded, 4}}
	p.DevicesActive = 1
	look(false)
	expect(t, s, map[string]string{
		up:      "0.2:5 0.3:7 0.7:7",
		down:    "0.2:0 0.7:0",
		refused: "0.7:0 0.8:3",
		would:   "0.7:0 0.8:4",
		active:  "0.2:2 0.7:2 0.8:1",
	})
	s.fails = true
	p.Usage.Up = 9
	if err := tr.sample(t.Context(), []Product{p}, at+10_000, false); err == nil {
		t.Fatal("it was written")
	}
	s.fails, at = false, at+10_000
	look(false) // What was lost may be any of them: all are written.
	expect(t, s, map[string]string{up: "0.2:5 0.3:7 0.7:7 1.2:9", down: "0.2:0 0.7:0 1.2:0"})
}

// At a quarter of an hour the counters are the ledger's.
func TestSampleAtAQuarter(t *testing.T) {
	s := &fakeStore{}
	tr := newTier(s)
	p := Product{ID: 1, Account: "a", Name: "p", Usage: Usage{Up: 5}, DevicesActive: 2}
	must(t, tr.sample(t.Context(), []Product{p}, epochMs-10_000, false))
	p.Usage.Up, p.DevicesActive = 6, 3
	must(t, tr.sample(t.Context(), []Product{p}, epochMs, true))
	must(t, tr.sample(t.Context(), []Product{p}, epochMs+10_000, false))
	expect(t, s, map[string]string{up: "-0.2:5 0.2:6", down: "-0.2:0", active: "-0.2:2 0.0:3"})
}

// A store is filled with every quarter since the product's first use, and again after it was lost.
func TestFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{product: Product{ID: 1, Account: "a", Name: "p"}, rows: map[uint32]Usage{
			0: {}, // as a row that says that nothing was used yet
			2: {Up: 4}, 3: {Up: 6}, 6: {Up: 6, Denied: denied(2)},
		}}
		want := map[string]string{
			up:      "30.0:0 45.0:4 60.0:6 75.0:6 90.0:6 105.0:6 120.0:6",
			down:    "45.0:0 60.0:0 75.0:0 90.0:0 105.0:0 120.0:0",
			refused: "90.0:0 105.0:2 120.0:2",
		}
		for range 2 { // The second one begins with an empty store.
			s := &fakeStore{}
			tr := newTier(s)
			tr.products = []Product{source.product}
			must(t, tr.resume(t.Context(), epochMs))
			for more := true; more; {
				var err error
				more, err = tr.fill(t.Context(), source, epoch+8)
				must(t, err)
			}
			expect(t, s, want)
			must(t, tr.settle(t.Context(), epochMs+8*900_000))
			if tr.filled != 0 || len(s.samples[filledName]) != 0 {
				t.Fatal("it is on the disk at once")
			}
			time.Sleep(settledAfter)
			must(t, tr.settle(t.Context(), epochMs+8*900_000))
			if tr.filled != epoch+8 || s.series(filledName) == "" {
				t.Fatalf("filled to %d", tr.filled)
			}
			// Another run of the child asks the store, and goes on from there. What is written again is the same.
			tr.run = func() uint64 { return 2 }
			must(t, tr.resume(t.Context(), epochMs+9*900_000))
			if tr.filled != epoch+8 || !tr.known || !tr.all {
				t.Fatalf("it resumes at %d", tr.filled)
			}
			_, err := tr.fill(t.Context(), source, epoch+9)
			must(t, err)
			if got := s.series(up); !strings.HasSuffix(got, " 120.0:6 135.0:6") {
				t.Fatal(got)
			}
		}
	})
}

// A step is bounded, and steps meet without a seam.
func TestFillInSteps(t *testing.T) {
	s := &fakeStore{}
	tr := newTier(s)
	tr.keeps = 24 * time.Hour
	source := &fakeSource{rows: map[uint32]Usage{}}
	for i := range uint32(96) {
		source.rows[i] = Usage{Up: uint64(i + 1)}
	}
	tr.products = make([]Product, stepRows/10)
	for i := range tr.products {
		tr.products[i] = Product{ID: 1, Account: "a", Name: "p"}
	}
	tr.known = true
	more, err := tr.fill(t.Context(), source, epoch+96)
	if err != nil || !more || tr.reached() != epoch+10 {
		t.Fatalf("%v, reached %d of %d", err, tr.reached()-epoch, 96)
	}
	tr.products = tr.products[:1]
	more, err = tr.fill(t.Context(), source, epoch+96)
	if err != nil || more {
		t.Fatal(more, err)
	}
	for i := range int64(96) {
		at := epochMs + (i+1)*quarter.Milliseconds()
		if got := s.samples[up][at]; got != uint64(i+1) {
			t.Fatalf("after quarter %d it is %d", i, got)
		}
	}
}

// What lies before the first use of any product is passed over.
func TestFillBeginsWithTheFirstUse(t *testing.T) {
	s := &fakeStore{}
	tr := newTier(s)
	tr.known = true
	tr.products = make([]Product, stepRows/4)
	for i := range tr.products {
		tr.products[i] = Product{ID: 1, Account: "a", Name: "p"}
	}
	more, err := tr.fill(t.Context(), &fakeSource{rows: map[uint32]Usage{90: {}, 94: {Up: 3}}}, epoch+96)
	if err != nil || more || tr.reached() != epoch+96 {
		t.Fatalf("%v, more %v, reached %d of 96", err, more, tr.reached()-epoch)
	}
	expect(t, s, map[string]string{up: "1410.0:0 1425.0:3 1440.0:3"})
	more, err = newTier(s).fill(t.Context(), &fakeSource{}, epoch)
	if err != nil || more {
		t.Fatal(more, err)
	}
}

func FuzzParseFilled(f *testing.F) {
	f.Add([]byte(`{"status":"success","data":{"result":[{"metric":{},"value":[1790000000,"1988889"]}]}}`))
	f.Add([]byte(`{"data":{"result":[]}}`))
	f.Add([]byte(`{"data":{"result":[{"value":[1,"NaN"]}]}}`))
	f.Add([]byte(`{"data":{"result":[{"value":[1,"1e99"]}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if n, err := parseFilled(body); err != nil && n != 0 {
			t.Fatalf("%d, %v", n, err)
		} else if uint64(n) > math.MaxUint32 {
			t.Fatal(n)
		}
	})
}
