package views

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
)

// memSource is a log in memory that begins with a group.
type memSource struct {
	mu     sync.Mutex
	groups []*Group
	first  uint64
}

func (s *memSource) add(effects int) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := uint64(len(s.groups) + 1)
	g := &Group{Position: position(seq), FirstMs: int64(seq) * 1000, LastMs: int64(seq)*1000 + 1}
	if effects > 0 {
		g.Effects = [][]byte{make([]byte, effects)}
	}
	s.groups = append(s.groups, g)
	return g
}

func position(seq uint64) Position {
	return Position{Seq: seq, Chain: [16]byte{byte(seq), byte(seq >> 8), 1}}
}

func (s *memSource) First() uint64 { return s.first }

func (s *memSource) Last() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.groups) == 0 {
		return Position{}
	}
	return s.groups[len(s.groups)-1].Position
}

func (s *memSource) ChainOf(seq uint64) (Position, error) {
	if seq == 0 {
		return Position{}, nil
	}
	return position(seq), nil
}

func (s *memSource) Read(after uint64, bytesMax int) (groups []*Group, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups[max(after, s.first-1):] {
		if bytesMax -= g.bytes(); bytesMax < 0 && len(groups) > 0 {
			break
		}
		read := *g
		groups = append(groups, &read)
	}
	return groups, nil
}

// memView keeps what it was given. What failed says is returned instead.
type memView struct {
	mu     sync.Mutex
	at     Position
	seen   []uint64
	cats   []*license.Catalogue
	from   int64
	failed error
}

func (v *memView) Name() string { return "test" }

func (v *memView) Position() Position {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at
}

func (v *memView) Apply(groups []*Group, _ Devices) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed != nil {
		return v.failed
	}
	for _, g := range groups {
		v.seen, v.cats = append(v.seen, g.Seq), append(v.cats, g.Catalogue)
	}
	v.at = groups[len(groups)-1].Position
	return nil
}

func (v *memView) Skip(to Position, fromMs int64) error {
	v.at, v.from = to, fromMs
	return nil
}

func (v *memView) AvailableFromMs() (int64, error) { return v.from, nil }

func (v *memView) Close() error { return nil }

func (v *memView) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = err
}

type noDevices struct{}

func (noDevices) Name(counters.Ordinal) (uint32, []byte) { return 0, nil }

func options(s *memSource, v View) Options {
	return Options{
		Views: []View{v}, Source: s, Devices: noDevices{}, Catalogue: license.New("r", time.Hour),
		Logger: slog.New(slog.DiscardHandler),
	}
}

func numbers(from, to uint64) (list []uint64) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// A view gets every group once, in order: those of before the start from the log, those of the run from memory, and
// those that memory had no room for from the log again. What it holds, it is not given again.
func TestEveryGroupOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{at: position(2), seen: numbers(1, 2)}
		for range 5 {
			s.add(10)
		}
		r, err := Open(options(s, v))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 * tailBytesMax / (1 << 20) { // Three times what memory holds, before the view is looked after.
			r.Durable(s.add(1 << 20))
		}
		last := s.Last().Seq
		if err := r.WaitFor(v, last); err != nil {
			t.Fatal(err)
		}
		if r.bytes > tailBytesMax || r.Passed() != last {
			t.Fatalf("memory holds %d bytes, passed is %d of %d", r.bytes, r.Passed(), last)
		}
		r.Close()
		if !slices.Equal(v.seen, numbers(1, last)) {
			t.Fatalf("the view saw %v", v.seen)
		}
	})
}

// Groups gather for a second, unless somebody waits; the lag is the age of the oldest group that is lacking.
func TestGatherAndLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{}
		r, err := Open(options(s, v))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		synctest.Wait() // The view has looked for the first time.
		r.Durable(s.add(0))
		r.Durable(s.add(0))
		if lag := r.Status(4000)[0].Lag; lag != 3*time.Second {
			t.Errorf("the lag is %s", lag)
		}
		time.Sleep(gatherFor + time.Millisecond)
		synctest.Wait()
		if lag := r.Status(4000)[0].Lag; lag != 0 || len(v.seen) != 2 {
			t.Errorf("after a while the lag is %s, seen %v", lag, v.seen)
		}
	})
}

// What a view has passed is told as an instant before which it has everything: that of the last group that it has, or
// just behind it if there is none that it lacks.
func TestPassedMs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{}
		v.at = s.add(0).Position
		o := options(s, v)
		o.LastMs = 1001
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		proves := func(what string, want int64) {
			t.Helper()
			if ms := r.PassedMs(v); ms != want {
				t.Errorf("%s: %d, want %d", what, ms, want)
			}
		}
		synctest.Wait() // The view has looked for the first time.
		proves("it has the whole log of the last start", 1002)
		r.Durable(s.add(0))
		proves("it lacks a group, and has told nothing yet", 0)
		time.Sleep(gatherFor + time.Millisecond)
		synctest.Wait()
		proves("it has all", 2002)
		v.fail(errors.New("the disk is gone"))
		r.Durable(s.add(0))
		time.Sleep(gatherFor + time.Millisecond)
		synctest.Wait()
		proves("it lacks a group", 2001)
	})
}

// movingView reads the log itself and loses its oldest.
type movingView struct{ memView }

func (v *movingView) PositionMs() int64 { return 0 }

func (v *movingView) Follow(context.Context, uint64, Devices) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.from += 1000
	return nil
}

func (v *movingView) AvailableFromMs() (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.from, nil
}

// A view that lets go of its oldest is shown to begin later.
func TestViewThatBeginsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &movingView{memView{from: 5}}
		r, err := Open(options(&memSource{first: 1}, v))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.Sleep(3*gatherFor + time.Millisecond)
		synctest.Wait()
		if ms := r.Status(0)[0].AvailableFromMs; ms < 2005 || ms%1000 != 5 {
			t.Errorf("it is shown to begin at %d", ms)
		}
	})
}

// A view that fails is tried again and holds what it lacks; nobody is told that it has what it has not.
func TestFailingViewIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{failed: errors.New("the disk is gone")}
		r, err := Open(options(s, v))
		if err != nil {
			t.Fatal(err)
		}
		r.Durable(s.add(0))
		if err := r.WaitFor(v, 1); !errors.Is(err, ErrLags) || r.Passed() != 0 || !r.followers[0].failed.Load() {
			t.Fatalf("%v, passed %d", err, r.Passed())
		}
		v.fail(nil)
		if err := r.WaitFor(v, 1); err != nil || r.followers[0].failed.Load() {
			t.Fatal(err)
		}
		r.Close()
		if err := r.WaitFor(v, 2); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	})
}

// Each group comes with the catalogue that it was decided under, also when it is read from the log again.
func TestCatalogueOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{failed: errors.New("not yet")}
		o := options(s, v)
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		want := []*license.Catalogue{}
		cat := o.Catalogue
		for n := range 60 {
			if n%7 == 3 {
				cat, _ = cat.Note(license.Actor{}, "test", "test", nil)
			}
			g := s.add(1 << 20)
			g.Catalogue = cat
			want = append(want, cat)
			r.Durable(g)
		}
		v.fail(nil)
		if err := r.WaitFor(v, 60); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if !slices.Equal(v.cats, want) {
			t.Fatal("groups came with other catalogues than they were decided under")
		}
	})
}

// A view of another history, one that is newer than the log, and one whose next groups are gone are refused; the last
// one goes on behind the gap if that is accepted, and says where it begins.
func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		at     Position
		first  uint64
		accept bool
		says   string
	}{
		{"another history", Position{Seq: 3}, 1, false, "another history"},
		{"newer than the log", position(9), 1, false, "different instants"},
		{"a gap", position(1), 4, false, "--accept-view-gap"},
		{"a gap, accepted", position(1), 4, true, ""},
		{"right behind it", position(3), 4, false, ""},
		{"empty", Position{}, 1, false, ""},
		{"empty, behind a gap", Position{}, 4, false, "--accept-view-gap"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, v := &memSource{first: c.first}, &memView{at: c.at}
			for range 5 {
				s.add(0)
			}
			o := options(s, v)
			o.AcceptGap = c.accept
			r, err := Open(o)
			if c.says != "" {
				if !errors.Is(err, ErrApart) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("opened: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			err = r.WaitFor(v, 5)
			r.Close()
			if err != nil || !slices.Equal(v.seen, numbers(max(c.at.Seq+1, c.first), 5)) {
				t.Fatalf("%v, saw %v", err, v.seen)
			}
			if from := r.Status(0)[0].AvailableFromMs; c.accept && (v.from != 4000 || from != 4000) {
				t.Fatalf("what it shows begins at %d, its status says %d", v.from, from)
			}
		})
	}
}

// slightView writes next to nothing.
type slightView struct{ memView }

func (*slightView) Slight() {}

// A view that writes next to nothing does not rest while the disk runs short, for that would hold segments.
func TestSlightViewsDoNotYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, first, last := &memSource{first: 1}, &slightView{}, &memView{}
		o := options(s, nil)
		o.Views, o.Short = []View{first, last}, func() bool { return true }
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		r.Durable(s.add(0))
		if err := errors.Join(r.WaitFor(first, 1), r.WaitFor(last, 1)); err != nil || r.Passed() != 1 {
			t.Fatalf("%v, passed %d", err, r.Passed())
		}
	})
}

// While the disk runs short, all views but the last one rest, and go on when there is room again.
func TestViewsYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, first, last := &memSource{first: 1}, &memView{}, &memView{}
		var short atomic.Bool
		short.Store(true)
		o := options(s, nil)
		o.Views, o.Short = []View{first, last}, short.Load
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		r.Durable(s.add(0))
		if err := r.WaitFor(last, 1); err != nil {
			t.Fatal(err)
		}
		if err := r.WaitFor(first, 1); !errors.Is(err, ErrLags) || r.Passed() != 0 {
			t.Fatalf("%v, passed %d", err, r.Passed())
		}
		short.Store(false)
		if err := r.WaitFor(first, 1); err != nil {
			t.Fatal(err)
		}
	})
}

// While the disk is full every view rests, also the last one and one that is catching up; the end does not wait for it.
func TestViewsRestWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{}
		for range 20 {
			s.add(applyBytesMax)
		}
		var full atomic.Bool
		o := options(s, v)
		o.Full = full.Load
		o.Moved = func(_ View, seq uint64) {
			if seq == 3 {
				full.Store(true)
			}
		}
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WaitFor(v, 20); !errors.Is(err, ErrLags) || r.Passed() != 3 {
			t.Fatalf("%v, passed %d", err, r.Passed())
		}
		full.Store(false)
		if err := r.WaitFor(v, 20); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		r.Durable(s.add(0))
		r.Close()
		if r.Passed() != 20 {
			t.Fatalf("passed %d on a full disk", r.Passed())
		}
	})
}

// The end waits for a bounded part of what a view lacks, and the next start goes on from there.
func TestCloseDoesNotWaitForAViewThatIsFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &memSource{first: 1}, &memView{}
		const groups = 5 * closeAppliesMax
		for range groups {
			s.add(applyBytesMax)
		}
		o := options(s, v)
		reached, goOn := make(chan struct{}), make(chan struct{})
		o.Moved = func(_ View, seq uint64) {
			if seq == 2 {
				close(reached)
				<-goOn
			}
		}
		r, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		<-reached
		go r.Close()
		synctest.Wait()
		close(goOn)
		r.wg.Wait()
		if passed := r.Passed(); passed != 2+closeAppliesMax {
			t.Fatalf("group %d of %d was applied before the end", passed, groups)
		}
		if r, err = Open(options(s, v)); err != nil {
			t.Fatal(err)
		}
		if err := r.WaitFor(v, groups); err != nil || !slices.Equal(v.seen, numbers(1, groups)) {
			t.Fatalf("%v, saw %d groups", err, len(v.seen))
		}
		r.Close()
	})
}
