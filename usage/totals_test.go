package usage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// mapStore is a store in memory, whose transactions may fail.
type mapStore struct {
	rows  map[string]ledger.Entry
	at    ledger.Position
	parts int // transactions that succeed before one fails; negative: all succeed
	cut   int // entries of the one that fails which are there all the same, as the first parts of a large one are
}

func newMapStore() *mapStore { return &mapStore{rows: map[string]ledger.Entry{}, parts: -2} }

func (s *mapStore) Position() ledger.Position { return s.at }

func (s *mapStore) Write(entries []ledger.Entry, to ledger.Position) error {
	if err := s.WritePart(entries); err != nil {
		return err
	}
	s.at = to
	return nil
}

func (s *mapStore) WritePart(entries []ledger.Entry) error {
	if s.parts == 0 {
		entries = entries[:min(s.cut, len(entries))]
	}
	for _, e := range entries {
		if s.rows[string(e.Key)] = e; e.Delete {
			delete(s.rows, string(e.Key))
		}
	}
	if s.parts--; s.parts == -1 {
		return errFailed
	}
	return nil
}

// put writes one row.
func (s *mapStore) put(key, value []byte) { s.rows[string(key)] = ledger.Entry{Key: key, Value: value} }

func (s *mapStore) Get(key []byte) ([]byte, bool, error) {
	e, found := s.rows[string(key)]
	return e.Value, found, nil
}

func (s *mapStore) Scan(prefix, start []byte, reverse bool, fn func(k, v []byte) (bool, error)) error {
	keys := slices.Sorted(maps.Keys(s.rows))
	if reverse {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		k := []byte(key)
		if order := bytes.Compare(
			k,
			start,
		); !bytes.HasPrefix(k, prefix) || (reverse && order > 0) ||
			(!reverse && order < 0) {
			continue
		}
		if more, err := fn(k, s.rows[key].Value); err != nil || !more {
			return err
		}
	}
	return nil
}

// Maintain deletes everything whose time is over.
func (s *mapStore) Maintain(_ context.Context, nowMs int64) error {
	maps.DeleteFunc(s.rows, func(_ string, e ledger.Entry) bool { return e.UntilMs > 0 && e.UntilMs <= nowMs })
	return nil
}

func (s *mapStore) Close() error { return nil }

func (s *mapStore) Instant() (ledger.Reader, error) {
	return &mapStore{rows: maps.Clone(s.rows), at: s.at, parts: -2}, nil
}

// history is random usage of some products over some months, group by group.
type history struct {
	groups []*views.Group
	after  map[uint32][]record.BucketTotals // by product, in order
}

// creation returns a change that creates product p1, as the log has it.
func creation(t *rapid.T) []byte {
	c := license.New("default", 168*time.Hour)
	c, _, _, err := c.CreateAccount(license.Actor{}, "acme", license.Enterprise, "")
	if err != nil {
		t.Fatal(err)
	}
	_, ch, _, err := c.CreateProduct(license.Actor{}, license.ProductSpec{Name: "p1", Account: "acme", Zone: "UTC"})
	if err != nil || ch.CreatedProduct() != 1 {
		t.Fatal(ch, err)
	}
	return ch.Append(nil)
}

func drawHistory(t *rapid.T, zone *time.Location, created bool) *history {
	h := &history{after: map[uint32][]record.BucketTotals{}}
	if created {
		h.groups = append(h.groups, &views.Group{Head: record.Head{Changes: [][]byte{creation(t)}}})
	}
	ms := time.Date(2026, 1, 20, 3, 4, 5, 0, time.UTC).UnixMilli()
	sums := map[uint32]*record.Totals{}
	for range rapid.IntRange(1, 12).Draw(t, "groups") {
		steps := []int{1, 60, 600, 3600, 30_000, 86_400, 20 * 86_400, 100 * 86_400}
		ms += int64(rapid.SampledFrom(steps).Draw(t, "s")) * 1000
		g := &views.Group{}
		for range rapid.IntRange(1, 3).Draw(t, "buckets") {
			b := record.BucketTotals{Bucket: record.Bucket{
				Product: 1, Quarter: uint32(ms / record.QuarterMs), Day: calendar.WindowAt(ms, zone).Day,
			}}
			sum := sums[b.Product]
			if sum == nil {
				sum = &record.Totals{}
				sums[b.Product] = sum
			}
			sum.MessagesUp += rapid.Uint64Range(0, 5).Draw(t, "up")
			sum.Deny(event.Up, event.Suspended, rapid.Uint64Range(0, 2).Draw(t, "denied"))
			b.Totals = sum.Clone()
			if n := len(g.Head.Totals); n > 0 && g.Head.Totals[n-1].Bucket == b.Bucket {
				g.Head.Totals = g.Head.Totals[:n-1]
			}
			g.Head.Totals = append(g.Head.Totals, b)
			h.after[b.Product] = append(h.after[b.Product], b)
			ms += int64(rapid.IntRange(0, 1000).Draw(t, "s")) * 1000
		}
		h.groups = append(h.groups, g)
	}
	for i, g := range h.groups {
		g.Seq = uint64(i + 1)
	}
	return h
}

// before returns what was used before a bucket.
func (h *history) before(b record.Bucket) (sum record.Totals) {
	for _, a := range h.after[b.Product] {
		if a.Compare(b) < 0 {
			sum = a.Totals
		}
	}
	return sum
}

// What was used before any instant and any day is in the ledger, however groups came to it, again after a failure in
// the midst of a transaction, and after the months before were deleted.
func TestTotalsBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", 60*rapid.SampledFrom([]int{0, 5*60 + 17, 8 * 60, -9*60 - 30}).Draw(t, "minutes"))
		h := drawHistory(t, zone, true)
		store := newMapStore()
		l := New(Options{Store: store, Retention: 24 * time.Hour})
		for from := 0; from < len(h.groups); {
			n := rapid.IntRange(1, len(h.groups)-from).Draw(t, "n")
			store.parts, store.cut = rapid.IntRange(-2, 1).Draw(t, "parts"), rapid.IntRange(0, 20).Draw(t, "cut")
			if l.Apply(h.groups[from:from+n], nil) != nil {
				store.parts = -2
				if rapid.Bool().Draw(t, "restart") {
					l = New(Options{Store: store, Retention: 24 * time.Hour})
				}
				n = rapid.IntRange(1, len(h.groups)-from).Draw(t, "n")
				if err := l.Apply(h.groups[from:from+n], nil); err != nil {
					t.Fatal(err)
				}
			}
			from += n
		}
		after := h.after[1]
		newest, err := l.Totals(1)
		if last := after[len(after)-1]; err != nil || newest.Bucket != last.Bucket || !newest.Equal(&last.Totals) {
			t.Fatalf("newest %+v, %v; want %+v", newest, err, last)
		}
		first, firstMonth := uint32(0), uint32(0) // that are asked for
		for range 2 {
			for _, a := range after {
				for _, near := range []int{-97, -1, 0, 1, 97, 3000} {
					q := record.Bucket{Product: 1, Quarter: uint32(int(a.Quarter) + near)}
					if q.Quarter < first {
						continue
					}
					want := h.before(q)
					if got, from, err := l.TotalsBefore(1, q.Quarter); err != nil || from != q.Quarter || !got.Equal(&want) {
						t.Fatalf("before quarter %d: %+v from %d, %v; want %+v", q.Quarter, got, from, err, want)
					}
				}
				for day := a.Day - 1; day <= a.Day+1; day++ {
					start := uint32(calendar.DayStartMs(day, zone) / record.QuarterMs)
					if calendar.MonthOf(day) < firstMonth {
						continue
					}
					want := h.before(record.Bucket{Product: 1, Quarter: start, Day: day})
					if got, from, err := l.TotalsBeforeDay(1, day); err != nil || from != 0 || !got.Equal(&want) {
						t.Fatalf("before day %d: %+v from %d, %v; want %+v", day, got, from, err, want)
					}
				}
			}
			checkTotalsAt(t, l, zone, max(first, after[0].Quarter-200), after[len(after)-1].Quarter+200)
			// Months go, whole; what was used before the first that is kept is known.
			nowMs := int64(after[rapid.IntRange(0, len(after)-1).Draw(t, "now")].Quarter) * record.QuarterMs
			if err := store.Maintain(t.Context(), nowMs); err != nil {
				t.Fatal(err)
			}
			kept := calendar.WindowAt(nowMs-24*3600_000, time.UTC)
			first, firstMonth = uint32(kept.MonthStartMs/record.QuarterMs), kept.Month
		}
	})
}

// checkTotalsAt demands that what was used before several instants is what was used before each of them.
func checkTotalsAt(t *rapid.T, l *Ledger, zone *time.Location, first, last uint32) {
	if first > last {
		return
	}
	steps := []uint32{1, 4, 13, 96, 96, 96, 5000}
	step := rapid.SampledFrom(steps).Draw(t, "step")
	begin := rapid.SampledFrom([]uint32{first, first/96*96 + 96, first/96*96 + 77}).Draw(t, "begin")
	var at []record.Bucket
	for q := max(first, begin); q <= last && len(at) < 300; q += step {
		b := record.Bucket{Product: 1, Quarter: q}
		ms := int64(q) * record.QuarterMs
		if w := calendar.WindowAt(ms, zone); w.DayStartMs == ms {
			b.Day = w.Day
		}
		if rapid.IntRange(0, 20).Draw(t, "left out") > 0 {
			at = append(at, b)
		}
	}
	sums := make([]record.Totals, len(at))
	from, err := l.TotalsAt(at, sums)
	if err != nil {
		t.Fatal(err)
	}
	again := make([]record.Totals, len(at))
	if remembered, err := l.TotalsAt(at, again); err != nil || remembered != from || !reflect.DeepEqual(again, sums) {
		t.Fatalf("asked again: %+v from %d, %v; before %+v from %d", again, remembered, err, sums, from)
	}
	for i := range at {
		want, known, err := l.TotalsBefore(1, at[i].Quarter)
		if err != nil || !sums[i].Equal(&want) || (known > at[i].Quarter && from != known) ||
			(known == at[i].Quarter && from > at[i].Quarter) {
			t.Fatalf("before quarter %d: %+v from %d; alone %+v from %d, %v", at[i].Quarter, sums[i], from, want, known, err)
		}
	}
}

// A ledger that begins behind a gap does not know what was used before. It says from when on it knows.
func TestTotalsBehindAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, time.UTC, false)
		l := New(Options{Store: newMapStore()})
		lost := rapid.IntRange(0, len(h.groups)-1).Draw(t, "lost")
		if err := l.Apply(h.groups[lost:], nil); err != nil {
			t.Fatal(err)
		}
		checkTotalsAt(t, l, time.UTC, h.after[1][0].Quarter-200, h.after[1][len(h.after[1])-1].Quarter+200)
		begin := h.groups[lost].Head.Totals[0]
		for _, a := range h.after[1] {
			for near := range uint32(3) {
				q := a.Quarter - 1 + near
				from := max(q, begin.Quarter+1)
				want := h.before(record.Bucket{Product: 1, Quarter: from})
				if got, at, err := l.TotalsBefore(1, q); err != nil || at != from || !got.Equal(&want) {
					t.Fatalf("before quarter %d: %+v from %d, %v; want %+v from %d", q, got, at, err, want, from)
				}
				day := a.Day - 1 + near
				from = 0
				want = h.before(record.Bucket{Product: 1, Quarter: uint32(calendar.DayStartMs(day, time.UTC) / record.QuarterMs)})
				if day <= begin.Day {
					from = begin.Quarter + 1
					want = h.before(record.Bucket{Product: 1, Quarter: from})
				}
				if got, at, err := l.TotalsBeforeDay(1, day); err != nil || at != from || !got.Equal(&want) {
					t.Fatalf("before day %d: %+v from %d, %v; want %+v from %d", day, got, at, err, want, from)
				}
			}
		}
	})
}

// Of a product whose rows are all deleted only the newest totals are known, and this is said. One whose ledger began
// behind a gap may have lost the rows of its buckets before those of its days.
func TestTotalsWithoutRows(t *testing.T) {
	for _, created := range []bool{false, true} {
		store := newMapStore()
		l := New(Options{Store: store})
		if created {
			store.put(key32(keyNewest, 1), appendNewest(nil, &record.BucketTotals{Bucket: record.Bucket{Product: 1}}))
		}
		last := record.BucketTotals{Bucket: record.Bucket{Product: 1, Quarter: 1_970_050, Day: 2200}}
		last.MessagesUp = 7
		g := &views.Group{Head: record.Head{Totals: []record.BucketTotals{last}}}
		g.Seq = 1
		if err := l.Apply([]*views.Group{g}, nil); err != nil {
			t.Fatal(err)
		}
		check := func(deleted ...string) {
			t.Helper()
			maps.DeleteFunc(store.rows, func(key string, _ ledger.Entry) bool { return slices.Contains(deleted, key[:1]) })
			const back = 5000
			for _, quarter := range []uint32{1, last.Quarter - back, last.Quarter/96*96 + 5, last.Quarter} {
				sum, from, err := l.TotalsBefore(1, quarter)
				if err != nil || from != last.Quarter+1 || !sum.Equal(&last.Totals) {
					t.Fatalf("before quarter %d: %+v from %d, %v", quarter, sum, from, err)
				}
			}
			sum, from, err := l.TotalsBeforeDay(1, last.Day-10)
			if err != nil || from != last.Quarter+1 || !sum.Equal(&last.Totals) {
				t.Fatalf("before a day: %+v from %d, %v", sum, from, err)
			}
			at := []record.Bucket{
				{Product: 1, Quarter: (last.Quarter - back) / 96 * 96}, {Product: 1, Quarter: last.Quarter - 1},
			}
			sums := make([]record.Totals, len(at))
			from, err = l.TotalsAt(at, sums)
			if err != nil || from != last.Quarter+1 || !sums[0].Equal(&last.Totals) || !sums[1].Equal(&last.Totals) {
				t.Fatalf("%+v from %d, %v", sums, from, err)
			}
		}
		if !created {
			check(keyTotals)
		}
		check(keyTotals, keyDays)
	}
}

// Totals are kept as long as their month and the retention; days of a time zone until it is over everywhere.
func TestTotalsUntil(t *testing.T) {
	store := newMapStore()
	l := New(Options{Store: store, Retention: time.Hour})
	g := &views.Group{Head: record.Head{}}
	g.Seq = 1
	quarter := func(month time.Month, day int) uint32 {
		return uint32(time.Date(2026, month, day, 0, 0, 0, 0, time.UTC).UnixMilli() / record.QuarterMs)
	}
	february := record.Bucket{Product: 1, Quarter: quarter(2, 1), Day: 2223}
	january := record.Bucket{
		Product: 1,
		Quarter: quarter(1, 31),
		Day:     2223,
	} // It is February already where the product is.
	for _, b := range []record.Bucket{january, february} {
		g.Head.Totals = append(g.Head.Totals, record.BucketTotals{Bucket: b})
	}
	if err := l.Apply([]*views.Group{g}, nil); err != nil {
		t.Fatal(err)
	}
	until := func(month time.Month, day int) int64 {
		return time.Date(2026, month, day, 1, 0, 0, 0, time.UTC).UnixMilli()
	}
	want := map[string]int64{
		string(bucketKey(january)):                               until(2, 1),
		string(bucketKey(february)):                              until(3, 1),
		string(dayBegan{1, utcDay, january.Quarter / 96}.key()):  until(2, 1),
		string(dayBegan{1, utcDay, february.Quarter / 96}.key()): until(3, 1),
		string(dayBegan{1, productDay, 2223}.key()):              until(3, 2),
		string(key32(keyNewest, 1)):                              0,
		keyRetentions:                                            0,
	}
	got := map[string]int64{}
	for key, e := range store.rows {
		got[key] = e.UntilMs
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", sortedRows(got), sortedRows(want))
	}
}

// What is remembered is bounded.
func TestEndedIsBounded(t *testing.T) {
	var e ended
	at := make([]record.Bucket, endedMax+100)
	which := make([]int, len(at))
	for i := range at {
		at[i], which[i] = record.Bucket{Product: 1, Quarter: uint32(i)}, i
	}
	b := boundaries{product: 1, at: at, sums: make([]record.Totals, len(at))}
	e.add(&b, which)
	if others := e.find(&b, which); len(others) != 100 || len(e.sums) != endedMax {
		t.Errorf("%d of %d are remembered, and %d are not", len(e.sums), len(at), len(others))
	}
}

func sortedRows(rows map[string]int64) (list []string) {
	for _, key := range slices.SortedFunc(maps.Keys(rows), cmp.Compare[string]) {
		list = append(list, fmt.Sprintf("%x until %d", key, rows[key]))
	}
	return list
}

func FuzzDecodeNewest(f *testing.F) {
	sum := record.BucketTotals{Bucket: record.Bucket{Product: 1, Quarter: 2_000_000, Day: 2500}}
	sum.Deny(event.OTA, event.OTAQuotaExceeded, 2)
	f.Add(appendNewest(nil, &sum))
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeNewest(1, b)
		if err != nil {
			return
		}
		again, err := decodeNewest(1, appendNewest(nil, &got))
		if err != nil || again.Bucket != got.Bucket || !again.Equal(&got.Totals) {
			t.Fatalf("%+v is read again as %+v, %v", got, again, err)
		}
	})
}

func FuzzDecodeDayBegan(f *testing.F) {
	f.Add(dayBegan{1, productDay, 2500}.key())
	f.Add([]byte("Y"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if d, err := decodeDayBegan(key); err == nil && !bytes.Equal(d.key()[1:], key[1:]) {
			t.Fatalf("%x is day %+v, whose key is %x", key, d, d.key())
		}
	})
}

func FuzzDecodeBucket(f *testing.F) {
	f.Add(bucketKey(record.Bucket{Product: 1, Quarter: 2_000_000, Day: 2500}))
	f.Add([]byte("Q"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if b, err := decodeBucket(key); err == nil && !bytes.Equal(bucketKey(b)[1:], key[1:]) {
			t.Fatalf("%x is bucket %+v, whose key is %x", key, b, bucketKey(b))
		}
	})
}
