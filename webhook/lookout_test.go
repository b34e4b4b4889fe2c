package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

// watch is a lookout on a store; what it tells is taken from the queue.
type watch struct {
	t     *testing.T
	w     *world
	store *memStore
	s     *Service
	l     *lookout
}

func newWatch(t *testing.T, w *world, store *memStore) *watch {
	t.Helper()
	v := &watch{t: t, w: w, store: store, s: open(t, store, newInbox().receive)}
	var err error
	if v.l, err = newLookout(v.s, w, w); err != nil {
		t.Fatal(err)
	}
	return v
}

// restart is a start after a crash.
func (v *watch) restart() { *v = *newWatch(v.t, v.w, v.store.crash()) }

// told looks at everything, and returns what a hook was told: the type and some fields of the data.
func (v *watch) told(h *license.Hook, fields ...string) (list []string) {
	v.t.Helper()
	v.l.stockAt, v.l.outlookAt = time.Time{}, time.Time{}
	v.l.tick(context.Background())
	queued, err := v.s.queue.first(h.ID, queueMax)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, m := range queued {
		var b struct {
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal(m.Body, &b); err != nil || b.Type != m.Event {
			v.t.Fatalf("%s: %v", m.Body, err)
		}
		text := b.Type
		for _, f := range fields {
			value, err := json.Marshal(b.Data[f])
			if err != nil {
				v.t.Fatal(err)
			}
			text += " " + strings.Trim(string(value), `"`)
		}
		list = append(list, text)
		if err := v.s.queue.delivered(h.ID, m); err != nil {
			v.t.Fatal(err)
		}
	}
	return list
}

func (v *watch) want(h *license.Hook, fields []string, want ...string) {
	v.t.Helper()
	if got := v.told(h, fields...); !slices.Equal(got, want) {
		v.t.Errorf("%s is told %q, want %q", h.Name, got, want)
	}
}

// Low stock is told once, also over a restart, and again after it was filled up.
func TestLowStock(t *testing.T) {
	w := newWorld(t)
	p := w.product("p1", "acme", "UTC")
	w.product("p2", "eve", "UTC") // It has nothing, which is not low.
	w.credit("p1", "L1", 100, false)
	w.credit("p1", "P1", 10, true)
	h := w.hook("h", "acme", "product.licenses_low", "product.packs_low")
	eve := w.hook("eve", "eve", "product.licenses_low", "product.packs_low")
	v := newWatch(t, w, newMemStore())
	fields := []string{"product", "total", "used", "available", "low_percent"}
	use := func(n int) {
		for range n {
			w.cat.ProductByID(p.ID).TakeLicense()
		}
	}
	v.want(h, fields)
	use(89)
	v.want(h, fields)
	use(1)
	v.want(h, fields, "product.licenses_low p1 100 90 10 10")
	use(1)
	v.want(h, fields)
	v.restart()
	v.want(h, fields)
	w.credit("p1", "L2", 10, false)
	v.want(h, fields) // 19 of 110
	use(8)
	v.want(h, fields, "product.licenses_low p1 110 99 11 10")
	v.want(eve, fields)
	w.cat.ProductByID(p.ID).TakePacks(9, func(*license.Pool, uint64) {})
	v.want(h, fields, "product.packs_low p1 10 9 1 10")
	v.want(h, fields)
}

// A warning before licences run dry is told once, the last one that is due alone, and again when it is true again
// after licences lasted for longer.
func TestRunsDry(t *testing.T) {
	w := newWorld(t)
	p := w.product("p1", "acme", "Asia/Shanghai")
	h := w.hook("h", "", "product.licenses_dry")
	v := newWatch(t, w, newMemStore())
	in := func(days int) *query.Outlook {
		o := &query.Outlook{NowS: w.nowMs / 1000, Available: 5}
		o.Ending, o.Renewing, o.Due = make([]uint32, outlookDays), make([]uint32, outlookDays), make([]uint32, outlookDays)
		if days < outlookDays {
			o.Due[days] = 6
		}
		return o
	}
	fields := []string{"days", "runs_dry_on", "available"}
	for _, step := range []struct {
		days int // outlookDays: it lasts
		want []string
	}{
		{outlookDays, nil},
		{90, []string{"product.licenses_dry 90 2027-02-25 5"}},
		{89, nil},
		{31, nil},
		{30, []string{"product.licenses_dry 30 2026-12-27 5"}},
		{37, nil},
		{29, nil}, // It went to and fro.
		{38, nil},
		{30, []string{"product.licenses_dry 30 2026-12-27 5"}},
		{outlookDays, nil},
		{0, []string{"product.licenses_dry 7 2026-11-27 5"}},
		{0, nil},
	} {
		w.outlooks[p.ID] = in(step.days)
		v.restart()
		v.want(h, fields, step.want...)
	}
}

// Licences that end within 30 days are summed up once a day of the product's calendar.
func TestLicensesThatEnd(t *testing.T) {
	w := newWorld(t)
	w.nowMs = time.Date(2026, 11, 27, 15, 59, 0, 0, time.UTC).UnixMilli() // 23:59 in Shanghai
	p, q := w.product("p1", "acme", "Asia/Shanghai"), w.product("q1", "acme", "UTC")
	h := w.hook("h", "acme", "product.licenses_ending")
	v := newWatch(t, w, newMemStore())
	look := func() {
		for _, p := range []*license.Product{p, q} {
			o := &query.Outlook{
				NowS: w.nowMs / 1000, Available: 7, Ending: make([]uint32, outlookDays), Renewing: make([]uint32, outlookDays),
			}
			o.Ending[0], o.Ending[29], o.Ending[30] = 2, 3, 100
			o.Renewing[29], o.Renewing[30] = 1, 100
			w.outlooks[p.ID] = o
		}
	}
	fields := []string{"product", "day", "days", "ending", "renewing", "available"}
	look()
	v.want(h, fields, "product.licenses_ending p1 2026-11-27 30 5 1 7", "product.licenses_ending q1 2026-11-27 30 5 1 7")
	v.restart()
	v.want(h, fields)
	w.nowMs += time.Minute.Milliseconds()
	look()
	v.want(h, fields, "product.licenses_ending p1 2026-11-28 30 5 1 7")
	w.nowMs += 24 * time.Hour.Milliseconds()
	look()
	w.outlooks[q.ID].Ending = make([]uint32, outlookDays) // Nothing ends: nothing is told.
	v.want(h, fields, "product.licenses_ending p1 2026-11-29 30 5 1 7")
}

// That ingest stops and goes on is told once, also over a restart, to hooks of the daemon.
func TestIngestStops(t *testing.T) {
	w := newWorld(t)
	h, half := w.hook("h", "", "ingest.stopped", "ingest.resumed"), w.hook("half", "", "ingest.resumed")
	v := newWatch(t, w, newMemStore())
	fields := []string{"reason"}
	v.want(h, fields)
	w.stopped["disk_full"] = true
	v.want(h, fields, "ingest.stopped disk_full")
	v.restart()
	v.want(h, fields)
	w.stopped["disk_full"], w.stopped["clock_leap"] = false, true
	v.want(h, fields, "ingest.stopped clock_leap", "ingest.resumed disk_full")
	v.want(half, fields, "ingest.resumed disk_full")
	w.stopped["clock_leap"] = false
	v.restart()
	v.want(h, fields, "ingest.resumed clock_leap")
	if n := v.store.count(keyStop); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// What cannot be looked up or written is told later, once.
func TestLooksThatFail(t *testing.T) {
	w := newWorld(t)
	p := w.product("p1", "acme", "UTC")
	w.credit("p1", "L1", 1, false)
	w.cat.ProductByID(p.ID).TakeLicense()
	h := w.hook("h", "", "product.licenses_low", "product.licenses_dry", "ingest.stopped")
	v := newWatch(t, w, newMemStore())
	w.stopped["disk_full"] = true
	w.refuse, v.store.err = errors.New("the engine has stopped"), errors.New("the disk is on fire")
	if got := v.told(h); got != nil {
		t.Errorf("told %q", got)
	}
	w.refuse = nil
	if got := v.told(h); got != nil {
		t.Errorf("told %q", got)
	}
	v.store.err = nil
	v.want(h, nil, "ingest.stopped", "product.licenses_low")
	v.want(h, nil)
}

// The days ahead are looked at as seldom as the pass over the device table is long.
func TestOutlookIsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hook("h", "", "product.licenses_dry")
		v := newWatch(t, w, newMemStore())
		looks := func(d time.Duration) int {
			before := w.looks
			for range d / tick {
				time.Sleep(tick)
				v.l.tick(t.Context())
			}
			return w.looks - before
		}
		if n := looks(time.Hour); n != 60 {
			t.Errorf("%d looks an hour", n)
		}
		v.l.outlookTook = time.Second
		if n := looks(time.Duration(outlookShare) * time.Second / 2); n != 0 {
			t.Errorf("%d looks after one of a second", n)
		}
	})
}
