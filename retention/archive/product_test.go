package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// wantProduct returns the rows of a product that are not over, oldest first.
func (h *history) wantProduct(s *Store, product uint32, upTo uint64, nowMs int64) (rows []Row) {
	n := 0
	for _, g := range h.groups {
		if g.seq <= upTo {
			n += len(g.rows)
		}
	}
	for _, r := range h.rows[:n] {
		if r.Device.Product() == product && !s.IsOver(&r, nowMs) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return a.ProductPlace().Compare(b.ProductPlace()) })
	return rows
}

// ownersOf says whose devices are, as productOf does.
func ownersOf(ordinals []uint64, products []uint32) error {
	for i, o := range ordinals {
		products[i] = productOf(o)
	}
	return nil
}

// productQuery asks for all rows of a product that are not over.
func productQuery(s *Store, product uint32, nowMs int64) ProductQuery {
	return ProductQuery{
		Product: product, ToMs: 1 << 50, Owners: ownersOf, Wants: func(r *Row) bool { return !s.IsOver(r, nowMs) },
	}
}

// readProduct returns the rows that a query gives, copied.
func readProduct(t testing.TB, s *Store, q ProductQuery) (rows []Row) {
	t.Helper()
	p := s.ReadProduct(q)
	for range 10_000 {
		done, err := p.Step(t.Context(), s.Snapshot(), func(r *Row) bool {
			c := *r
			c.Name, c.ID, c.Topic, c.Payload = clone(r.Name), clone(r.ID), clone(r.Topic), clone(r.Payload)
			rows = append(rows, c)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if done != GoOn {
			return rows
		}
	}
	t.Fatal("it never ends")
	return nil
}

// compareProducts compares all products in both directions: sorted on the disk, and page by page.
func (h *history) compareProducts(t testing.TB, s *Store, nowMs int64) {
	t.Helper()
	for product := uint32(1); product <= 3; product++ {
		want := h.wantProduct(s, product, s.Gathered().Seq, nowMs)
		for _, oldest := range []bool{true, false} {
			if !oldest {
				slices.Reverse(want)
			}
			q := productQuery(s, product, nowMs)
			q.Oldest = oldest
			same(t, fmt.Sprintf("product %d, oldest first %v", product, oldest), readProduct(t, s, q), want)
			for _, page := range []int{7, 50, 1 << 20} {
				if page*20 < len(want) { // A page scans what lies behind it, too.
					continue
				}
				q := q
				q.Rows = page
				var have []Row
				for {
					some := readProduct(t, s, q)
					have = append(have, some...)
					if len(some) < page {
						break
					}
					q.After = some[len(some)-1].ProductPlace()
				}
				same(t, fmt.Sprintf("product %d, oldest first %v, pages of %d", product, oldest, page), have, want)
			}
		}
	}
}

// TestProductHistory: wherever rows lie, those of a product come in the order of their places, in both directions,
// sorted in memory or on the disk in many pieces, with newest rows kept once more or without.
func TestProductHistory(t *testing.T) {
	for _, c := range []struct {
		seed                  uint64
		newestFrom, sortBytes int
	}{{1, 1, 3000}, {2, 1 << 30, 1 << 20}, {3, 64, 700}} {
		t.Run(fmt.Sprint(c.seed), func(t *testing.T) {
			h := newHistory(c.seed, 12)
			h.unknown = 6
			s := testStore(t, Options{
				Retention: 2 * day, memoryBytes: 90_000, blockRows: 7, newestFrom: c.newestFrom, sortBytes: c.sortBytes,
			})
			for i := range 80 {
				lasts := time.Minute * 30
				if i%3 > 0 {
					lasts = 0
				}
				g := h.next(1+h.dice.IntN(40), lasts)
				g.feed(t, s)
				if s.Due(h.nowMs) && h.dice.IntN(4) > 0 {
					if err := s.WriteRun(); err != nil {
						t.Fatal(err)
					}
				}
				if h.dice.IntN(10) == 0 {
					if err := s.Tidy(t.Context(), h.nowMs); err != nil {
						t.Fatal(err)
					}
				}
				if i%40 == 39 {
					h.compareProducts(t, s, h.nowMs)
					h.compare(t, s, h.nowMs)
				}
			}
			x := s.Stats()
			if x.Spans == 0 || x.Runs == 0 || x.MemoryRows == 0 {
				t.Errorf("spans, runs and memory must be met: %+v", x)
			}
			proveNoLeftovers(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestProductFilter: rows are filtered, by time and by what Wants says, in pages and in what is sorted.
func TestProductFilter(t *testing.T) {
	h := newHistory(5, 9)
	s := testStore(t, Options{blockRows: 9, newestFrom: 1})
	for i := range 30 {
		g := h.next(40, time.Minute)
		g.feed(t, s)
		if i%8 == 7 {
			if err := s.WriteRun(); err != nil {
				t.Fatal(err)
			}
		}
	}
	fromMs, toMs := h.groups[5].firstMs+100, h.groups[25].lastMs-100
	for name, wants := range map[string]func(*Row) bool{
		"denied": func(r *Row) bool { return r.Code != 0 },
		"topic":  func(r *Row) bool { return string(r.Topic) == "topic/1" },
		"type":   func(r *Row) bool { return r.Type == 5 },
		"none":   func(*Row) bool { return false },
	} {
		for _, oldest := range []bool{false, true} {
			var want []Row
			for _, r := range h.wantProduct(s, 2, h.seq, h.nowMs) {
				if r.DecidedMs >= fromMs && r.DecidedMs <= toMs && wants(&r) {
					want = append(want, r)
				}
			}
			if !oldest {
				slices.Reverse(want)
			}
			if len(want) < 5 && name != "none" {
				t.Fatalf("%s: only %d rows", name, len(want))
			}
			q := productQuery(s, 2, h.nowMs)
			q.FromMs, q.ToMs, q.Wants, q.Oldest = fromMs, toMs, wants, oldest
			q.Denied, q.Topics = name == "denied", name == "topic"
			same(t, name+", sorted", readProduct(t, s, q), want)
			q.Rows = 5
			same(t, name+", a page", readProduct(t, s, q), want[:min(5, len(want))])
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestProductReadWhileDirectoriesGo: a reader that is in the middle of its rows when directories are merged and removed
// gets every row once.
func TestProductReadWhileDirectoriesGo(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		h := newHistory(6, 9)
		s := testStore(t, Options{blockRows: 9, sortBytes: 2000, Retention: 7 * day})
		more := func() {
			g := h.next(60, 20*time.Hour)
			g.feed(t, s)
			if err := s.WriteRun(); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			more()
		}
		g := h.next(30, time.Minute)
		g.feed(t, s)
		want := h.wantProduct(s, 1, h.seq, 0)
		if !oldest {
			slices.Reverse(want)
		}
		q := productQuery(s, 1, 0)
		q.Oldest, q.ToMs = oldest, h.nowMs
		p := s.ReadProduct(q)
		var have []Row
		gone := 0
		for done, n := GoOn, 0; done == GoOn && n < 100; n++ {
			x := s.Snapshot()
			var err error
			done, err = p.Step(t.Context(), x, func(r *Row) bool {
				c := *r
				c.Name, c.ID, c.Topic, c.Payload = clone(r.Name), clone(r.ID), clone(r.Topic), clone(r.Payload)
				have = append(have, c)
				if len(have) == 10 {
					if err := s.WriteRun(); err != nil {
						t.Fatal(err)
					}
					if err := s.Tidy(t.Context(), h.nowMs); err != nil {
						t.Fatal(err)
					}
				}
				return true
			})
			if errors.Is(err, ErrGone) {
				gone++
				done = GoOn
			} else if err != nil {
				t.Fatal(err)
			}
		}
		same(t, fmt.Sprintf("oldest first %v", oldest), have, want)
		if x := s.Stats(); x.Merges == 0 || oldest && gone == 0 {
			t.Errorf("runs must be merged meanwhile: %+v, gone %d", x, gone)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSortNeedsRoom: rows are sorted on the disk as long as there is room for what can wait.
func TestSortNeedsRoom(t *testing.T) {
	h := newHistory(8, 9)
	left := 2
	s := testStore(t, Options{sortBytes: 2000, Spare: func(uint64) bool { left--; return left >= 0 }})
	g := h.next(300, time.Minute)
	g.feed(t, s)
	if err := s.WriteRun(); err != nil {
		t.Fatal(err)
	}
	q := productQuery(s, 1, h.nowMs)
	_, err := s.ReadProduct(q).Step(t.Context(), s.Snapshot(), func(*Row) bool { return true })
	if !errors.Is(err, ErrNoRoom) {
		t.Errorf("without room: %v", err)
	}
	q.Rows = 100
	same(t, "a page", readProduct(t, s, q), func() []Row {
		want := h.wantProduct(s, 1, h.seq, h.nowMs)
		slices.Reverse(want)
		return want[:100]
	}())
	proveNoLeftovers(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSorter: rows come in order however many pieces there are, more than are read at once too.
func TestSorter(t *testing.T) {
	h := newHistory(9, 9)
	h.next(6000, time.Minute)
	for _, oldest := range []direction{true, false} {
		s := testStore(t, Options{sortBytes: 2000})
		x := s.newSorter(oldest, h.rows[0].DecidedMs)
		rows := slices.DeleteFunc(slices.Clone(h.rows), func(r Row) bool { return r.Device.Product() != 1 })
		h.dice.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for i := range rows {
			if err := x.add(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(x.file.pieces); n < piecesMax+20 {
			t.Fatalf("only %d pieces", n)
		}
		if err := x.finish(); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(rows, func(a, b Row) int { return oldest.compare(a.ProductPlace(), b.ProductPlace()) })
		var have []Row
		for {
			r, err := x.next()
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				break
			}
			c := *r
			c.Name, c.ID, c.Topic, c.Payload = clone(r.Name), clone(r.ID), clone(r.Topic), clone(r.Payload)
			have = append(have, c)
		}
		same(t, fmt.Sprintf("oldest first %v", oldest), have, rows)
		if err := errors.Join(x.close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSortFileOfACrash: what a crash leaves between making a file to sort in and unlinking it goes with the next start.
func TestSortFileOfACrash(t *testing.T) {
	s := testStore(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.o.Path+"/sort-7.tmp", []byte("rows"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = testStore(t, s.o)
	proveNoLeftovers(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestProductReadsBesideGathering: who reads while rows are gathered, written and merged gets each row once, in order,
// and none of those is missing that were there before.
func TestProductReadsBesideGathering(t *testing.T) {
	h := newHistory(10, 9)
	s := testStore(t, Options{blockRows: 9, sortBytes: 4000, memoryBytes: 30_000, newestFrom: 20})
	stop, done := make(chan struct{}), make(chan error, 1)
	read := func(oldest bool) error {
		before := s.Stats()
		atLeast := (int(before.Rows) + before.MemoryRows) / 9 // A third of all is the product's, about.
		q := productQuery(s, 1, 0)
		q.Oldest = oldest
		p, rows, last := s.ReadProduct(q), 0, ProductPlace{}
		for next, n := GoOn, 0; next == GoOn && n < 1000; n++ {
			var err error
			outOfOrder := false
			next, err = p.Step(context.Background(), s.Snapshot(), func(r *Row) bool {
				at := r.ProductPlace()
				outOfOrder = outOfOrder || rows > 0 && direction(oldest).compare(last, at) >= 0
				rows, last = rows+1, at
				return true
			})
			switch {
			case outOfOrder:
				return fmt.Errorf("row %d of %v is out of order", rows, oldest)
			case errors.Is(err, ErrGone):
				next = GoOn
			case err != nil:
				return err
			}
		}
		if rows < atLeast {
			return fmt.Errorf("%d rows of at least %d", rows, atLeast)
		}
		return nil
	}
	go func() {
		for oldest := false; ; oldest = !oldest {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := read(oldest); err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 60 {
		g := h.next(1+h.dice.IntN(60), 20*time.Minute)
		g.feed(t, s)
		if s.Due(h.nowMs) {
			if err := s.WriteRun(); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 9 {
			if err := s.Tidy(t.Context(), h.nowMs); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
