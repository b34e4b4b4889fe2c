package rawlog

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/views"
)

// patience is when a test gives up waiting. It bounds a failure and measures nothing.
const patience = time.Minute

// heard is what a follower of a rig was given.
type heard struct {
	r   *rig
	end func()

	mu     sync.Mutex
	topics []string
	rows   []string         // with their places, as rig.rows has them
	gather func(row string) // not nil: it takes rows instead
	holds  chan struct{}    // not nil: the follower waits for it before it takes a row
}

func (r *rig) following() Following {
	return Following{
		Now: func() int64 { return 0 }, Find: func() (uint64, bool, error) { return 7, true, nil },
		Named: func(fn func(views.Devices)) error { fn(named{}); return nil },
	}
}

// follow follows device 7 behind a place.
func (r *rig) follow(after Place, change func(*Query, *Following, *heard)) *heard {
	r.t.Helper()
	h := &heard{r: r}
	q, o := r.query(), r.following()
	q.After = after
	if change != nil {
		change(&q, &o, h)
	}
	return h.begin(func(ctx context.Context) error { return r.view.FollowDevice(ctx, q, o, h.take) })
}

// followProduct follows the product of all devices.
func (r *rig) followProduct(after ProductPlace, change func(*ProductQuery, *Following, *heard)) *heard {
	r.t.Helper()
	h := &heard{r: r}
	q, o := r.product(true), r.following()
	q.After = after
	if change != nil {
		change(&q, &o, h)
	}
	return h.begin(func(ctx context.Context) error { return r.view.FollowProduct(ctx, q, o, h.take) })
}

func (h *heard) begin(follow func(context.Context) error) *heard {
	h.r.t.Helper()
	r := h.r
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- follow(ctx) }()
	h.end = sync.OnceFunc(func() {
		cancel()
		r.must(<-done)
	})
	r.t.Cleanup(h.end)
	return h
}

func (h *heard) take(row *Row) bool {
	if h.holds != nil {
		select {
		case <-h.holds:
		case <-h.r.t.Context().Done(): // It ends with the test.
		}
	}
	if h.gather != nil {
		h.gather(textOf(row))
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.topics, h.rows = append(h.topics, string(row.Topic)), append(h.rows, textOf(row))
	return true
}

// is waits until the follower has heard as much as was wanted, and proves that it is that.
func (h *heard) is(what string, want []string) {
	h.r.t.Helper()
	h.await(what, want, func() []string { return h.topics })
}

// isProduct is for one who follows the product from row n on: he must have heard what its log has.
func (h *heard) isProduct(what string, n int) {
	h.r.t.Helper()
	all, _ := h.r.rows(h.r.product(true))
	h.await(what, all[n:], func() []string { return h.rows })
}

func (h *heard) await(what string, want []string, list func() []string) {
	h.r.t.Helper()
	for began := time.Now(); ; runtime.Gosched() {
		h.mu.Lock()
		have := slices.Clone(list())
		h.mu.Unlock()
		if len(have) >= len(want) || time.Since(began) > patience {
			if !slices.Equal(have, want) {
				h.r.t.Fatalf("%s:\n have %q\n want %q", what, have, want)
			}
			return
		}
	}
}

// archive moves the view, writes a run and releases the log's segments, as far as dice say.
func (r *rig) archive() {
	r.t.Helper()
	r.must(r.view.Follow(r.t.Context(), r.seq-r.dice.Uint64N(3), named{}))
	if r.dice.IntN(3) == 0 {
		r.must(r.store.WriteRun())
	}
	if r.dice.IntN(3) == 0 {
		r.must(r.log.Release(r.nowMs, r.view.Position().Seq))
	}
}

// TestFollowerPauses: whoever gathers rows until the follower pauses misses none, and no place is told of that has rows
// before it which he still gathers. Rows come several at a time.
func TestFollowerPauses(t *testing.T) {
	r := newRig(t)
	for range 40 {
		r.append()
	}
	var gathered []string
	var pauses int
	h := r.followProduct(ProductPlace{}, func(_ *ProductQuery, o *Following, h *heard) {
		h.gather = func(row string) { gathered = append(gathered, row) }
		o.Pause = func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.rows, gathered, pauses = append(h.rows, gathered...), gathered[:0], pauses+1
			return true
		}
		o.Idle = func(ProductPlace) {
			if len(gathered) > 0 {
				t.Errorf("%d rows were gathered when it was idle", len(gathered))
			}
		}
	})
	h.isProduct("what there was", 0)
	for range 20 {
		r.append()
	}
	h.isProduct("and what came", 0)
	h.end()
	if rows := len(h.rows); pauses >= rows {
		t.Errorf("%d pauses for %d rows", pauses, rows)
	}
}

// TestFollowedRowsComeOnce: those that are in directories, in memory and in the log, and those that come, while runs
// are written and segments go. Followers begin at the beginning, behind a row, and behind the last one.
func TestFollowedRowsComeOnce(t *testing.T) {
	r := newRig(t)
	for range 60 {
		r.append()
		if r.seq > 3 && r.dice.IntN(4) == 0 {
			r.archive()
		}
	}
	q := r.query()
	q.Oldest = true
	var places []Place
	r.must(r.view.DeviceLog(t.Context(), q, func(row *Row) bool {
		places = append(places, row.Place())
		return true
	}))
	var products []ProductPlace
	r.must(r.view.ProductLog(t.Context(), r.product(true), func(row *Row) bool {
		products = append(products, row.ProductPlace())
		return true
	}))
	var list []*heard
	starts := []int{0, 1, 7, len(places) / 2, len(places) - 1, len(places)}
	for _, n := range starts {
		after, of := Place{}, ProductPlace{}
		if n > 0 {
			after, of = places[n-1], products[n-1]
		}
		list = append(list, r.follow(after, nil), r.followProduct(of, nil))
	}
	for range 200 {
		r.append()
		if r.dice.IntN(4) == 0 {
			r.archive()
		}
	}
	proves := func(what string) {
		t.Helper()
		for i, n := range starts {
			list[2*i].is("a device, "+what, r.sent[n:])
			list[2*i+1].isProduct("a product, "+what, n)
		}
	}
	proves("wherever its rows are")
	r.must(r.view.Follow(t.Context(), r.seq, named{}))
	r.must(r.store.WriteRun())
	proves("its rows in the archive")
	for _, h := range list {
		h.end()
	}
	if n := r.view.followers.count(); n != 0 || r.view.followers.queued.Load() != 0 || r.view.followers.reader != nil {
		t.Errorf("%d seats and %d bytes are left", n, r.view.followers.queued.Load())
	}
}

// steps lets a test stand between the steps of followers and their reader.
type steps struct {
	mu sync.Mutex
	fn map[string]func() // called once each
}

func (r *rig) steps() *steps {
	s := &steps{fn: map[string]func(){}}
	r.view.followers.step = func(what string) {
		s.mu.Lock()
		fn := s.fn[what]
		delete(s.fn, what)
		s.mu.Unlock()
		if fn != nil {
			fn()
		}
	}
	return s
}

func (s *steps) on(what string, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fn[what] = fn
}

// appends logs groups until device 7 has more events.
func (r *rig) appends(groups int) {
	r.t.Helper()
	for had := len(r.sent); groups > 0 || len(r.sent) == had; groups-- {
		r.append()
	}
}

// archives writes all that was logged as a run, and releases its segments.
func (r *rig) archives() {
	r.t.Helper()
	r.must(r.view.Follow(r.t.Context(), r.seq, named{}))
	r.must(r.store.WriteRun())
	r.must(r.log.Release(r.nowMs, r.view.Position().Seq))
}

// TestFollowerMissesNothingBetweenItsSteps: groups are sealed, gathered, written as a run and gone from the log between
// any two steps of a follower.
func TestFollowerMissesNothingBetweenItsSteps(t *testing.T) {
	for _, step := range []string{"caught up", "joined", "follows"} {
		for _, c := range []struct {
			name string
			does func(*rig)
		}{
			{"a group is sealed", func(r *rig) { r.appends(1) }},
			{"groups are gathered", func(r *rig) {
				r.appends(10)
				r.must(r.view.Follow(r.t.Context(), r.seq-1, named{}))
			}},
			{"a run is written, segments go", func(r *rig) {
				r.appends(80)
				r.archives()
				r.appends(1)
			}},
			{"twice", func(r *rig) {
				for range 2 {
					r.appends(80)
					r.archives()
				}
			}},
		} {
			t.Run(step+": "+c.name, func(t *testing.T) {
				r := newRig(t)
				r.appends(5)
				r.must(r.view.Follow(t.Context(), 2, named{}))
				s, done := r.steps(), make(chan struct{})
				s.on(step, func() {
					c.does(r)
					close(done)
				})
				h := r.follow(Place{}, nil)
				<-done
				r.appends(5)
				h.is(c.name, r.sent)
				done = make(chan struct{})
				s.on(step, func() {
					c.does(r)
					close(done)
				})
				h = r.followProduct(ProductPlace{}, nil)
				<-done
				r.appends(5)
				h.isProduct(c.name, 0)
			})
		}
	}
}

// TestReaderThatLostItsPlace: what it has not read is gone from the log. Its followers go on.
func TestReaderThatLostItsPlace(t *testing.T) {
	r := newRig(t)
	r.appends(5)
	s, stands, goOn := r.steps(), make(chan struct{}), make(chan struct{})
	s.on("follows", func() {
		s.on("looks", func() {
			close(stands)
			<-goOn
		})
	})
	r.must(r.view.Follow(t.Context(), 2, named{}))
	list := []*heard{r.follow(Place{}, nil), r.follow(Place{}, nil)}
	product := r.followProduct(ProductPlace{}, nil)
	<-stands
	at := r.view.followers.reader.at.seq
	r.appends(100)
	r.archives()
	if first := r.log.First(); first <= at+1 {
		t.Fatalf("the log begins with group %d, the reader is at %d", first, at)
	}
	close(goOn)
	r.appends(3)
	for _, h := range list {
		h.is("a follower whose reader lost its place", r.sent)
	}
	product.isProduct("a follower of a product whose reader lost its place", 0)
}

// TestSlowFollowerCatchesUp: a follower that takes nothing holds a bounded number of rows and nobody else up, and
// misses nothing in the end, although segments have gone.
func TestSlowFollowerCatchesUp(t *testing.T) {
	r := newRig(t)
	const seat = 64 << 10
	r.view.followers.seatBytes = seat
	r.archives()
	s, holds := r.steps(), make(chan struct{})
	seated := make(chan struct{}, 1)
	seats := func() { seated <- struct{}{} }
	s.on("follows", seats)
	quick := r.follow(Place{}, nil)
	<-seated
	s.on("follows", seats)
	slow := r.follow(Place{}, func(_ *Query, _ *Following, h *heard) { h.holds = holds })
	<-seated
	for r.view.followers.behind.Load() == 0 {
		r.appends(20)
		r.archives()
		quick.is("the quick one", r.sent)
		if n := r.view.followers.queued.Load(); n > 2*seat {
			t.Fatalf("%d bytes wait", n)
		}
		if len(r.sent) > 2*seat/seatRowBytes {
			t.Fatalf("the slow one still has its seat behind %d rows", len(r.sent))
		}
	}
	close(holds)
	r.appends(3)
	slow.is("the slow one", r.sent)
	quick.is("the quick one", r.sent)
}

// named is productOne with names.
type named struct{}

func (named) Name(o counters.Ordinal) (uint32, []byte) {
	if o == 7 {
		return 1, []byte("seven")
	}
	return 1, []byte("another")
}

// TestDeviceThatBecomesKnown is followed on: its rows stand under its name first, then under its ordinal.
func TestDeviceThatBecomesKnown(t *testing.T) {
	r := newRig(t)
	joined := make(chan struct{})
	r.steps().on("follows", func() { close(joined) })
	asked := 0
	h := r.follow(Place{}, func(_ *Query, o *Following, _ *heard) {
		o.Find = func() (uint64, bool, error) { asked++; return 0, false, nil }
	})
	<-joined
	r.appends(60)
	h.is("it becomes known while it is followed", r.sent)
	if d := r.view.followers.audience.Load(); d.looksUp || d.ordinals[7] == nil {
		t.Error("its ordinal was not learnt")
	}
	h.end()
	if asked != 1 {
		t.Errorf("its ordinal was asked for %d times", asked)
	}
}

// TestFollowFilters: type, and time.
func TestFollowFilters(t *testing.T) {
	r := newRig(t)
	r.appends(10)
	from := len(r.sent)
	r.nowMs += 5
	h := r.follow(Place{}, func(q *Query, _ *Following, _ *heard) { q.FromMs = r.nowMs })
	none := r.follow(Place{}, func(q *Query, _ *Following, _ *heard) { q.Type = event.Down })
	r.appends(10)
	h.is("from a time on", r.sent[from:])
	none.end()
	none.is("of a type that there is none of", nil)
}

// TestFollowerThatEnds: enough, or its ordinal cannot be looked up.
func TestFollowerThatEnds(t *testing.T) {
	r := newRig(t)
	r.appends(10)
	o, rows := r.following(), 0
	r.must(r.view.FollowDevice(t.Context(), r.query(), o, func(*Row) bool { rows++; return rows < 2 }))
	if rows != 2 {
		t.Errorf("%d rows", rows)
	}
	failed := errors.New("the state is gone")
	o.Find = func() (uint64, bool, error) { return 0, false, failed }
	if err := r.view.FollowDevice(t.Context(), r.query(), o, nil); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}

// TestProductCatchesUpByPagesAndSorted: many rows are sorted if that can be had, and come page by page otherwise.
func TestProductCatchesUpByPagesAndSorted(t *testing.T) {
	r := newRig(t)
	r.view.followers.pageRows = 7
	for range 5 {
		r.appends(10)
		r.archives()
	}
	r.appends(10)
	r.must(r.view.Follow(t.Context(), r.seq-3, named{}))
	sorted := r.followProduct(ProductPlace{}, nil)
	sorted.isProduct("sorted", 0)
	sorted.end()
	for range sortsMax {
		leave, err := r.view.AdmitSort()
		r.must(err)
		defer leave()
	}
	h := r.followProduct(ProductPlace{}, nil)
	h.isProduct("by pages", 0)
	r.appends(10)
	h.isProduct("by pages, then as they come", 0)
}
