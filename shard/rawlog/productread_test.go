package rawlog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/archive"
)

// product asks for the log of product 1, whose all devices of tests are.
func (r *rig) product(oldest bool) ProductQuery {
	return ProductQuery{
		Filter: Filter{ToMs: r.nowMs + 1, NowMs: r.nowMs}, Product: 1, Oldest: oldest, LogDays: 7,
		Owners: func(ordinals []uint64, products []uint32) error {
			for i := range ordinals {
				products[i] = 1
			}
			return nil
		},
	}
}

// rows returns what a query of the product gives: the place and topic of each row.
func (r *rig) rows(q ProductQuery) (list []string, last ProductPlace) {
	r.t.Helper()
	r.must(r.view.ProductLog(r.t.Context(), q, func(row *Row) bool {
		last = row.ProductPlace()
		list = append(list, textOf(row))
		return true
	}))
	return list, last
}

func textOf(r *Row) string {
	return fmt.Sprintf("%d %d %x %s %d", r.DecidedMs, r.Place().Tie, r.Device, r.Topic, len(r.Payload))
}

// TestProductWhereverItsEventsAre: a product's rows come in the order of their places, and these stay the same, in the
// log, in memory, in directories, sorted as a whole and page by page.
func TestProductWhereverItsEventsAre(t *testing.T) {
	r := newRig(t)
	var first []string
	look := func(stage string) {
		t.Helper()
		all, _ := r.rows(r.product(true))
		if n := len(first); n == 0 {
			first = all
		} else if !slices.Equal(all[:n], first) {
			t.Fatalf("%s: rows were\n%q and are\n%q", stage, first, all[:n])
		}
		for _, oldest := range []bool{true, false} {
			want := slices.Clone(all)
			if !oldest {
				slices.Reverse(want)
				if have, _ := r.rows(r.product(false)); !slices.Equal(have, want) {
					t.Fatalf("%s, newest first:\n have %q\n want %q", stage, have, want)
				}
			}
			q := r.product(oldest)
			q.Rows = 17
			var have []string
			for {
				some, last := r.rows(q)
				have = append(have, some...)
				if len(some) < q.Rows {
					break
				}
				q.After = last
			}
			if !slices.Equal(have, want) {
				t.Fatalf("%s, oldest first %v, in pages:\n have %q\n want %q", stage, oldest, have, want)
			}
		}
	}
	r.stages(look)
	// Every row of the device is there, in the device's own order.
	var sevens []string
	q := r.product(true)
	r.must(r.view.ProductLog(t.Context(), q, func(row *Row) bool {
		if row.Device == archive.Known(1, 7) || string(row.Name) == "seven" {
			sevens = append(sevens, string(row.Topic))
		}
		return true
	}))
	if !slices.Equal(sevens, r.sent) {
		t.Errorf("device 7:\n have %q\n want %q", sevens, r.sent)
	}
}

// TestFilters: verdict, type and topic choose the same rows in the log, in memory and in a directory.
func TestFilters(t *testing.T) {
	r := newRig(t)
	for range 30 {
		r.append()
	}
	all := 0
	count := func(change func(*Filter)) (product, device int) {
		q, d := r.product(false), r.query()
		change(&q.Filter)
		change(&d.Filter)
		r.must(r.view.ProductLog(t.Context(), q, func(*Row) bool { product++; return true }))
		r.must(r.view.DeviceLog(t.Context(), d, func(*Row) bool { device++; return true }))
		return product, device
	}
	check := func(stage string) {
		t.Helper()
		var sum [2]int
		for _, verdict := range []event.Code{event.Accepted, event.NotActivated} {
			p, d := count(func(f *Filter) { f.ByVerdict, f.Verdict = true, verdict })
			sum[0], sum[1] = sum[0]+p, sum[1]+d
			if p == 0 || d == 0 {
				t.Errorf("%s: %d and %d rows of verdict %v", stage, p, d, verdict)
			}
		}
		p, d := count(func(*Filter) {})
		if sum != [2]int{p, d} || d != len(r.sent) || all > 0 && p != all {
			t.Errorf("%s: %v rows by verdict, %d and %d in all, of %d", stage, sum, p, d, all)
		}
		all = p
		if p, d := count(func(f *Filter) { f.Topic = []byte(r.sent[3]) }); p != 1 || d != 1 {
			t.Errorf("%s: %d and %d rows of one topic", stage, p, d)
		}
		if p, d := count(func(f *Filter) { f.Topic = []byte("event") }); p+d != 0 {
			t.Errorf("%s: %d and %d rows of the beginning of a topic", stage, p, d)
		}
		if p, d := count(func(f *Filter) { f.Type = event.Down }); p+d != 0 {
			t.Errorf("%s: %d and %d rows of a type that there is none of", stage, p, d)
		}
	}
	check("in the log")
	r.must(r.view.Follow(t.Context(), 30, productOne{}))
	check("in memory")
	r.must(r.store.WriteRun())
	check("in a run")
}

// TestSortsAreBounded: so many products are read in full at once, and one more when one has ended.
func TestSortsAreBounded(t *testing.T) {
	r := newRig(t)
	var leave []func()
	for range sortsMax {
		l, err := r.view.AdmitSort()
		r.must(err)
		leave = append(leave, l)
	}
	if _, err := r.view.AdmitSort(); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	leave[0]()
	if l, err := r.view.AdmitSort(); err != nil {
		t.Errorf("after one has left: %v", err)
	} else {
		l()
	}
}
