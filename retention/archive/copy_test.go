package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// other is the archive of another node: each read of it may be cut off, and bits may turn over on the way.
type other struct {
	s    *Store
	cut  func(bytes int) int // how many of so many bytes come; nil: all
	flip bool
	sent int // directories
}

func (o *other) Manifest(context.Context) ([]byte, error) { return o.s.Manifest(), nil }

func (o *other) Directory(_ context.Context, sum Sum) (io.ReadCloser, error) {
	var b bytes.Buffer
	if err := o.s.Send(sum, &b); err != nil {
		return nil, err
	}
	o.sent++
	all := b.Bytes()
	if o.cut != nil {
		all = all[:o.cut(len(all))]
	}
	if o.flip {
		all[600] ^= 1
	}
	return io.NopCloser(bytes.NewReader(all)), nil
}

// upTo is what a copy says whose log ends with a group.
func upTo(seq uint64, nowMs int64) *Copying {
	return &Copying{
		NowMs: nowMs, Rest: func(int64) error { return nil },
		Fits: func(at Position) (bool, error) {
			if at.Seq <= seq && at.Chain != chainOf(at.Seq) {
				return false, errors.New("another history")
			}
			return at.Seq <= seq, nil
		},
	}
}

func adopt(t testing.TB, s *Store, from *other, o *Copying) (adopted bool, err error) {
	t.Helper()
	a, err := s.Copy(t.Context(), from, o)
	if a == nil || err != nil {
		return false, err
	}
	adopted, err = s.Adopt(a)
	if err != nil {
		t.Fatal(err)
	}
	return adopted, nil
}

// tables returns the tables of an archive, by directory.
func tablesOf(t *testing.T, s *Store) (list []string) {
	t.Helper()
	for i := range s.m.directories {
		d := &s.m.directories[i]
		names, err := filepath.Glob(filepath.Join(s.o.Path, d.name(), "*.sst"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%x %s %d", d.sum, filepath.Base(name), len(b)))
		}
	}
	slices.Sort(list)
	return list
}

// TestAdopt: an archive that is copied has the rows of the one that made it, whatever it had before; and what it has
// already is not copied again.
func TestAdopt(t *testing.T) {
	h := newHistory(3, 12)
	a, b := testStore(t, Options{Retention: 7 * day}), testStore(t, Options{Retention: 7 * day})
	b.SetFollows(true)
	from := &other{s: a}
	for i := range 12 {
		g := h.next(30, 8*time.Hour)
		g.feed(t, a)
		if err := a.WriteRun(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		if i == 1 { // It has archived by itself, with other borders.
			h.groups[0].feed(t, b)
			g.feed(t, b)
			if err := b.WriteRun(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 2 { // It has something in memory.
			g.feed(t, b)
		}
		if err := a.Tidy(t.Context(), h.nowMs); err != nil {
			t.Fatal(err)
		}
		if is, err := adopt(t, b, from, upTo(h.seq-1, h.nowMs)); is || err != nil {
			t.Fatalf("adopted what the log lacks: %v", err)
		}
		before := from.sent
		if is, err := adopt(t, b, from, upTo(h.seq, h.nowMs)); !is || err != nil {
			t.Fatalf("group %d: adopted is %t: %v", g.seq, is, err)
		}
		if copied := from.sent - before; i > 2 && copied > 3 {
			t.Errorf("%d directories were copied for one run", copied)
		}
		if have, want := tablesOf(t, b), tablesOf(t, a); !slices.Equal(have, want) {
			t.Fatalf("it has %q, not %q", have, want)
		}
		if b.Position() != a.Position() || b.Gathered() != a.Position() {
			t.Fatalf("it is at %v, not at %v", b.Gathered(), a.Position())
		}
		if is, err := adopt(t, b, from, upTo(h.seq, h.nowMs)); is || err != nil {
			t.Fatalf("adopted the same again: %v", err)
		}
	}
	if a.Stats().Merges == 0 || b.Stats().Merges+b.Stats().RunsWritten != 1 {
		t.Errorf("the history must have merges of the one alone: %+v, %+v", a.Stats(), b.Stats())
	}
	h.compare(t, b, h.nowMs)
	if err := b.Tidy(t.Context(), h.nowMs); err != nil {
		t.Fatal(err)
	}
	proveNoLeftovers(t, b)
	if err := b.Prove(func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	// It is opened again, and goes on by itself.
	path := b.o.Path
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	b = testStore(t, Options{Retention: 7 * day, Path: path})
	for range 6 {
		g := h.next(30, 8*time.Hour)
		g.feed(t, b)
		if err := errors.Join(b.WriteRun(), b.Tidy(t.Context(), h.nowMs)); err != nil {
			t.Fatal(err)
		}
	}
	h.compare(t, b, h.nowMs)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptRefuses: what is not proved, or would take something away, changes nothing.
func TestAdoptRefuses(t *testing.T) {
	h := newHistory(5, 6)
	a, b := testStore(t, Options{Retention: 7 * day}), testStore(t, Options{Retention: 7 * day})
	for range 4 {
		g := h.next(50, time.Hour)
		g.feed(t, a)
		if err := a.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, from *other, o *Copying, says string) {
		t.Helper()
		is, err := adopt(t, b, from, o)
		if is || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: adopted is %t: %v", what, is, err)
		}
	}
	o := upTo(h.seq, h.nowMs)
	refused("a flipped bit", &other{s: a, flip: true}, o, "copy a directory")
	refused("a stream that breaks off", &other{s: a, cut: func(n int) int { return n - 2000 }}, o, "copy a directory")
	refused("nothing", &other{s: a, cut: func(int) int { return 0 }}, o, "copy a directory")
	other7 := upTo(h.seq, h.nowMs)
	other7.Fits = func(Position) (bool, error) { return false, errors.New("another history") }
	refused("another history", &other{s: a}, other7, "another history")
	entries, err := os.ReadDir(b.o.Path)
	if err != nil || len(entries) != 1 {
		t.Errorf("something is left: %v %v", entries, err)
	}
	for i := range h.groups {
		h.groups[i].feed(t, b)
	}
	ahead := h.next(5, time.Hour)
	ahead.feed(t, b)
	if err := b.WriteRun(); err != nil {
		t.Fatal(err)
	}
	refused("one that is behind", &other{s: a}, upTo(h.seq, h.nowMs), "")
	ahead.feed(t, a)
	if err := errors.Join(a.WriteRun(), a.update(func(m *manifest) { m.availableFrom = h.nowMs }, func() {})); err != nil {
		t.Fatal(err)
	}
	refused("one that has lost events", &other{s: a}, upTo(h.seq, h.nowMs), "lacks events")
	h.compare(t, b, h.nowMs)
	if err := a.update(func(m *manifest) {
		m.availableFrom, m.retentionMs = 0, m.retentionMs+1
	}, func() {}); err != nil {
		t.Fatal(err)
	}
	refused("another retention", &other{s: a}, upTo(h.seq, h.nowMs), "it keeps events for")
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptKilledAtEveryStep: whatever change on the disk a crash comes before, the next start has the one archive or
// the other, whole, and nothing else.
func TestAdoptKilledAtEveryStep(t *testing.T) {
	h := newHistory(6, 6)
	a := testStore(t, Options{Retention: 7 * day})
	for range 3 {
		g := h.next(20, time.Hour)
		g.feed(t, a)
		if err := a.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	crashed := func(at int) (steps int) {
		c := &crash{}
		path := t.TempDir() + "/archive"
		b := testStore(t, Options{Retention: 7 * day, Path: path, step: c.step})
		for i := range 2 {
			h.groups[i].feed(t, b)
		}
		if err := b.WriteRun(); err != nil {
			t.Fatal(err)
		}
		before := len(c.steps)
		if at > 0 {
			c.at = before + at
		}
		ready, err := b.Copy(t.Context(), &other{s: a}, upTo(h.seq, h.nowMs))
		if err == nil {
			_, err = b.Adopt(ready)
		}
		if (err == nil) != (at == 0) || err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("crash at step %d: %v", at, err)
		}
		_ = b.Close() // A process that is gone closes nothing; this only gives back what the test holds.
		steps = len(c.steps) - before
		b = testStore(t, Options{Retention: 7 * day, Path: path})
		proveNoLeftovers(t, b)
		if p := b.Position().Seq; p != 2 && p != 3 || at == 0 && p != 3 {
			t.Errorf("crash at step %d: it ends with group %d", at, p)
		}
		h.compare(t, b, h.nowMs)
		if _, err := adopt(t, b, &other{s: a}, upTo(h.seq, h.nowMs)); err != nil || b.Position() != a.Position() {
			t.Errorf("crash at step %d: it is not adopted then: %v", at, err)
		}
		h.compare(t, b, h.nowMs)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return steps
	}
	for at := crashed(0) - 1; at > 0; at-- {
		crashed(at)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptErased: what an owner has rewritten without what is erased takes the place of what has it, and a directory
// that must be off the disk does not come back.
func TestAdoptErased(t *testing.T) {
	h := newHistory(9, 6)
	h.unknown = 1 << 30
	a, b := testStore(t, Options{Retention: 7 * day}), testStore(t, Options{Retention: 7 * day})
	b.SetFollows(true)
	for range 3 {
		g := h.next(60, time.Hour)
		g.feed(t, a)
		if err := a.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	from := &other{s: a}
	if is, err := adopt(t, b, from, upTo(h.seq, h.nowMs)); !is || err != nil {
		t.Fatal(is, err)
	}
	x := Erasure{
		Product: productOf(1), Name: nameOf(1), Known: true, Ordinal: 1, Seq: 4, SinceMs: h.nowMs, UntilMs: h.nowMs,
	}
	for _, s := range []*Store{a, b} {
		s.SetErasures(NewErasures(4, []Erasure{x}))
	}
	due := h.nowMs + EraseAfterDefault.Milliseconds()
	if err := errors.Join(b.Tidy(t.Context(), due), a.Tidy(t.Context(), due)); err != nil {
		t.Fatal(err)
	}
	if a.Stats().Rewritten == 0 || b.Stats().Rewritten > 0 {
		t.Fatalf("rewritten: %+v, %+v", a.Stats(), b.Stats())
	}
	if is, err := adopt(t, b, from, upTo(h.seq, due)); !is || err != nil {
		t.Fatal(is, err)
	}
	if err := b.LogErased(4, due); err != nil {
		t.Fatal(err)
	}
	if through := b.ErasedThrough(); through >= 4 {
		t.Errorf("erased is up to change %d while what it was in is on the disk", through)
	}
	if err := b.Tidy(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	if through := b.ErasedThrough(); through != 4 {
		t.Errorf("erased is up to change %d", through)
	}
	for _, r := range read(t, b, query(1), h.nowMs) {
		if len(r.Topic)+len(r.Payload) > 0 {
			t.Errorf("it is still there: %+v", r)
		}
	}
	// Nobody rewrites for it: it does so an hour later, and takes nothing back.
	x.Seq, x.Ordinal, x.Product, x.Name = 5, 2, productOf(2), nameOf(2)
	b.SetErasures(NewErasures(5, []Erasure{x}))
	late := due + day.Milliseconds()
	if err := b.Tidy(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if b.Stats().Rewritten == 0 {
		t.Error("it waits for an owner that does nothing")
	}
	if is, err := adopt(t, b, from, upTo(h.seq, late)); is || err == nil || !strings.Contains(err.Error(), "erased") {
		t.Errorf("adopted is %t: %v", is, err)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptAnyhow: three nodes of which any owns the log, copies that are cut off, nodes that start again, and rows
// that are over at different instants: each has what an archive that is alone has. METERD_ADOPT_SEEDS says how many
// histories are tried.
func TestAdoptAnyhow(t *testing.T) {
	seeds := 2
	if n, err := strconv.Atoi(os.Getenv("METERD_ADOPT_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			c := &trio{t: t, h: newHistory(uint64(seed), 6), dir: t.TempDir()}
			for i := range c.nodes {
				c.open(i)
			}
			for range 25 {
				c.step()
			}
			for _, s := range c.nodes {
				c.feed(s)
				c.h.compare(t, s, c.h.nowMs)
				c.must(s.Prove(func(int64) error { return nil }))
				c.must(s.Close())
			}
		})
	}
}

// trio is three nodes' archives of one log.
type trio struct {
	t     *testing.T
	h     *history
	dir   string
	nodes [3]*Store
	owner int
}

func (c *trio) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *trio) open(i int) {
	c.nodes[i] = testStore(c.t, Options{Retention: 2 * day, Path: filepath.Join(c.dir, fmt.Sprint("archive-", i))})
	c.nodes[i].SetFollows(i != c.owner)
}

// feed has a node gather all of the log, as an owner does, or a standby that archives by itself.
func (c *trio) feed(s *Store) {
	for k := s.Gathered().Seq; k < c.h.seq; k++ {
		c.h.groups[k].feed(c.t, s)
	}
}

// step has one of the nodes do something.
func (c *trio) step() {
	dice, h := c.h.dice, c.h
	i := dice.IntN(3)
	s := c.nodes[i]
	late := h.nowMs - dice.Int64N(2)*day.Milliseconds()/2
	switch what := dice.IntN(11); {
	case what < 4:
		h.next(6, 3*time.Hour)
		c.feed(c.nodes[c.owner])
		c.must(c.nodes[c.owner].WriteRun())
	case what < 7 && i != c.owner:
		from := &other{s: c.nodes[c.owner]}
		if dice.IntN(3) == 0 {
			from.cut = dice.IntN
		}
		reaches := max(h.seq-min(h.seq, uint64(dice.IntN(3))), s.Position().Seq)
		if _, err := adopt(c.t, s, from, upTo(reaches, late)); err != nil && from.cut == nil {
			c.t.Fatal(err)
		}
	case what < 8:
		c.must(s.Tidy(c.t.Context(), late))
	case what < 9:
		c.owner = i
		for k, n := range c.nodes {
			n.SetFollows(k != i)
		}
	case what < 10:
		c.must(s.Close())
		c.open(i)
		proveNoLeftovers(c.t, c.nodes[i])
	default:
		c.feed(s)
		c.must(s.WriteRun())
	}
}

// TestCopyInTurns: a Copy that may not go on begins with no further directory; the next one goes on behind it.
func TestCopyInTurns(t *testing.T) {
	h := newHistory(7, 6)
	a, b := testStore(t, Options{Retention: 7 * day}), testStore(t, Options{Retention: 7 * day})
	for range 3 {
		g := h.next(50, time.Hour)
		g.feed(t, a)
		if err := a.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	from, o := &other{s: a}, upTo(h.seq, h.nowMs)
	o.Until = time.Now().Add(-time.Hour)
	for sent := 1; sent <= 3; sent++ {
		is, err := adopt(t, b, from, o)
		if is != (sent == 3) || err != nil || from.sent != sent {
			t.Fatalf("behind %d directories of 3, not %d, adopted is %t: %v", from.sent, sent, is, err)
		}
	}
	h.compare(t, b, h.nowMs)
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
}
