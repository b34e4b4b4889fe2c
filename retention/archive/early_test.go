package archive

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// early is an archive that is bounded by bytes.
type early struct {
	*history
	t         *testing.T
	s         *Store
	o         Options
	countedMs int64
	logged    bytes.Buffer
}

func newEarly(t *testing.T, o Options) *early {
	e := &early{history: newHistory(3, 12), t: t, o: o}
	e.o.Path, e.o.Retention, e.o.memoryBytes = t.TempDir()+"/archive", 7*day, 1<<30
	e.o.Logger = slog.New(slog.NewTextHandler(&e.logged, nil))
	e.open()
	return e
}

func (e *early) open() {
	e.t.Helper()
	s, err := Open(e.o)
	if err != nil {
		e.t.Fatal(err)
	}
	s.SetProducts(productOf)
	s.SetCounted(func() int64 { return e.countedMs })
	e.s = s
}

// run writes a run of two hours.
func (e *early) run() {
	e.t.Helper()
	for range 4 {
		g := e.next(30, 30*time.Minute)
		g.feed(e.t, e.s)
	}
	if err := e.s.WriteRun(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *early) tidy() {
	e.t.Helper()
	if err := e.s.Tidy(e.t.Context(), e.nowMs); err != nil {
		e.t.Fatal(err)
	}
}

// proves that every device's rows are there from where the archive says that it begins.
func (e *early) proves(what string) {
	e.t.Helper()
	from := e.s.AvailableFromMs()
	before := func(r Row) bool { return r.DecidedMs < from }
	for o := range uint64(e.devices) {
		want := slices.DeleteFunc(e.want(e.s, o, e.s.Gathered().Seq, e.nowMs), before)
		have := slices.DeleteFunc(read(e.t, e.s, query(o), e.nowMs), before)
		same(e.t, fmt.Sprintf("%s, device %d", what, o), have, want)
	}
}

// TestEarly: what is too much goes, oldest first, and not one byte more; what the ledger has not counted stays; the
// archive says from where on everything is there, also to the next start (R18).
func TestEarly(t *testing.T) {
	sizes := newEarly(t, Options{})
	for range 12 {
		sizes.run()
	}
	whole := sizes.s.Stats().Bytes
	if err := sizes.s.Close(); err != nil {
		t.Fatal(err)
	}

	e := newEarly(t, Options{BytesMax: whole / 3})
	for range 12 {
		e.run()
	}
	e.tidy()
	if x := e.s.Stats(); x.EarlyRows != 0 || x.Bytes <= e.o.BytesMax || e.s.AvailableFromMs() != 0 {
		t.Fatalf("nothing was counted, and %+v", x)
	}
	if n := strings.Count(e.logged.String(), "stay until the ledger has counted"); n != 1 {
		t.Fatalf("%d warnings that nothing may go:\n%s", n, &e.logged)
	}
	e.proves("nothing is counted")

	// The first two directories are counted whole, the third one but for its last row.
	dirs := slices.Clone(e.s.m.directories)
	e.countedMs = dirs[2].lastMs
	e.tidy()
	if x := e.s.Stats(); x.EarlyRows != dirs[0].rows+dirs[1].rows || x.EarlyBytes != uint64(dirs[0].bytes+dirs[1].bytes) {
		t.Fatalf("two directories are counted, and %+v", x)
	}
	if from := e.s.AvailableFromMs(); from != dirs[1].lastMs+1 || e.s.OldestMs() != dirs[2].firstMs {
		t.Fatalf("it begins at %d, its oldest row at %d: %+v", from, e.s.OldestMs(), dirs[:3])
	}
	e.proves("two are counted")

	e.countedMs = e.nowMs + 1
	e.tidy()
	x := e.s.Stats()
	next := e.s.m.directories[0]
	if x.Bytes > e.o.BytesMax || x.Bytes+dirs[len(dirs)-1].bytes*2 < e.o.BytesMax || x.EarlyRows+x.Rows != 12*120 {
		t.Fatalf("all is counted: %+v of at most %d bytes", x, e.o.BytesMax)
	}
	from := e.s.AvailableFromMs()
	if next.firstMs < from {
		t.Fatalf("it begins at %d, and has rows from %d on", from, next.firstMs)
	}
	e.proves("all are counted")
	if n := strings.Count(e.logged.String(), "go before their time"); n != 12-len(e.s.m.directories) {
		t.Errorf("%d directories are left, %d said to have gone:\n%s", len(e.s.m.directories), n, &e.logged)
	}

	if err := e.s.Close(); err != nil {
		t.Fatal(err)
	}
	e.open()
	defer e.s.Close()
	if again := e.s.AvailableFromMs(); again != from || e.s.Stats().Bytes != x.Bytes {
		t.Fatalf("the next start begins at %d, not at %d", again, from)
	}
	e.proves("the next start")
}

// TestEarlyMerges: with a bound a merge makes a part of it, so that what goes at once is small; without one a span
// becomes one directory.
func TestEarlyMerges(t *testing.T) {
	for _, bound := range []int64{0, 1 << 20} {
		e := newEarly(t, Options{BytesMax: bound})
		largest := int64(0)
		for range 12 {
			e.run()
			largest = max(largest, e.s.m.directories[len(e.s.m.directories)-1].bytes)
		}
		e.o.BytesMax = 3 * largest * earlyPart // Three runs become one directory.
		if bound > 0 {
			e.s.o.BytesMax = e.o.BytesMax
		}
		e.nowMs += (2 * day).Milliseconds()
		e.next(1, 0)
		g := e.groups[len(e.groups)-1]
		g.feed(t, e.s)
		if err := e.s.WriteRun(); err != nil {
			t.Fatal(err)
		}
		e.countedMs = e.nowMs
		e.tidy()
		spans, most := 0, int64(0)
		for _, d := range e.s.m.directories {
			if d.level == levelSpan {
				spans++
				most = max(most, d.bytes)
			}
		}
		t.Logf("bound %d: %d spans, the largest of %d bytes, runs of %d", e.s.o.BytesMax, spans, most, largest)
		if bound > 0 && (spans < 4 || most > e.o.BytesMax/earlyPart) || bound == 0 && spans > 2*len(e.days)+2 {
			t.Errorf("%d spans, the largest has %d bytes, a run %d", spans, most, largest)
		}
		e.proves("merged")
		if err := e.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
