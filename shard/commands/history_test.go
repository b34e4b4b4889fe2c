package commands

import (
	"math"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
	"pgregory.net/rapid"
)

// lineage is a data directory: its runs, and whose numbers are whose. Two copies share what they did before they
// parted.
type lineage struct {
	c        *Commands
	e        *engine
	commands []int // by number: an id that no other disconnect of any copy has
	changes  []int
}

// heard is an id that a copy gave, what had been given there up to it, and all that had been given there.
type heard struct {
	id                      string
	commands, changes       []int
	allCommands, allChanges []int
}

// isSharedBy reports whether everything that the id stands behind happened in a copy; mustBeKnown, whether the copy is
// the one that gave it, or came of it since.
func (h *heard) isSharedBy(l *lineage) (shared, mustBeKnown bool) {
	return prefix(h.commands, l.commands) && prefix(h.changes, l.changes),
		prefix(h.allCommands, l.commands) && prefix(h.allChanges, l.changes)
}

// prefix reports whether a history goes on where another one stands.
func prefix(short, long []int) bool {
	if len(short) > len(long) {
		return false
	}
	for i := range short {
		if short[i] != long[i] {
			return false
		}
	}
	return true
}

// copied starts another daemon on a copy of the directory.
func (l *lineage) copied(t fataler) *lineage {
	next := &lineage{
		c:        l.e.commands(),
		e:        l.e,
		commands: append([]int{}, l.commands...),
		changes:  append([]int{}, l.changes...),
	}
	if err := next.c.ReadRuns(l.c.AppendRuns(nil)); err != nil {
		t.Fatal(err)
	}
	if err := l.c.WriteKept(next.c.ReadKept); err != nil {
		t.Fatal(err)
	}
	next.c.JoinLast(l.c.Last())
	next.c.Start(uint64(len(l.changes)))
	return next
}

// Copies of one directory go on beside each other, are copied again and started again. An id is honoured where it was
// given and by whoever came of that, and nowhere where something that it stands behind did not happen.
func TestAnIDBelongsToItsHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := &lineage{e: newEngine(10)}
		first.c = first.e.started()
		copies, ids, unique := []*lineage{first}, []heard(nil), 0
		one := func() *lineage { return copies[rapid.IntRange(0, len(copies)-1).Draw(t, "copy")] }
		t.Repeat(map[string]func(*rapid.T){
			"command": func(*rapid.T) {
				l := one()
				l.c.Run()
				unique++
				l.commands = append(l.commands, unique)
				l.e.putOffline(l.c, uint64(unique%10)+1)
				l.c.Publish(l.c.Last())
			},
			"refresh": func(*rapid.T) {
				l := one()
				l.c.Run()
				unique++
				l.changes = append(l.changes, unique)
				l.c.Changed(Refresh{Seq: uint64(len(l.changes)), Product: 1, Account: 1})
			},
			"change": func(*rapid.T) { // One that no gateway is told of.
				l := one()
				l.c.Run()
				unique++
				l.changes = append(l.changes, unique)
				l.c.Changed(Refresh{Seq: uint64(len(l.changes))})
			},
			"copy": func(t *rapid.T) { copies = append(copies, one().copied(t)) },
			"hear": func(t *rapid.T) {
				l := one()
				_, _, id := all(t, l.c, Place{}, Listener{})
				if p, ok := parsePlace(id); ok {
					ids = append(ids, heard{id, l.commands[:p.Command], l.changes[:p.Refresh], l.commands, l.changes})
				}
			},
			"": func(t *rapid.T) {
				for _, h := range ids {
					for i, l := range copies {
						got, none := l.c.Resume(h.id), Place{Tag: l.c.Resume("").Tag}
						want, _ := parsePlace(h.id)
						want.Tag = none.Tag
						shared, mustBeKnown := h.isSharedBy(l)
						if got != want && (got != none || mustBeKnown) || got == want && !shared {
							t.Fatalf("copy %d took %s for %+v; shared %v, its own %v", i, h.id, got, shared, mustBeKnown)
						}
					}
				}
			},
		})
	})
}

// The field's case: a directory was restored from a backup, and a gateway comes back with an id of the lost future.
func TestRestoredFromABackup(t *testing.T) {
	e := newEngine(8)
	before := e.started()
	step := func(c *Commands, o uint64) {
		c.Run()
		e.putOffline(c, o)
		c.Publish(c.Last())
	}
	step(before, 1)
	backup := &lineage{c: before, e: e}
	restored := backup.copied(t)
	for o := range uint64(3) {
		step(before, o+2)
	}
	_, _, id := all(t, before, before.Now(), Listener{})
	for o := range uint64(3) {
		e.sessions[o+2].Add(1) // What the lost future put offline is another session here.
	}
	step(restored.c, 5)
	got, _, _ := all(t, restored.c, restored.c.Resume(id), Listener{})
	if len(got) != 2 || got[0] != "device 1 license_exhausted" || got[1] != "device 5 license_exhausted" {
		t.Errorf("behind %s of the lost future: %v", id, got)
	}
	for range 4 { // The numbers catch up, which changes nothing.
		step(restored.c, 6)
	}
	if p := restored.c.Resume(id); p.Command != 0 {
		t.Errorf("%s of the lost future is taken for %+v", id, p)
	}
}

// Only so many runs are remembered; an id of an older one counts as none, one of the others is honoured.
func TestRunsAreBounded(t *testing.T) {
	l := &lineage{e: newEngine(1)}
	l.c = l.e.started()
	var ids []string
	for range runsMax + 10 {
		l.c.Run()
		l.e.putOffline(l.c, 1)
		l.c.Publish(l.c.Last())
		_, _, id := all(t, l.c, l.c.Now(), Listener{})
		ids = append(ids, id)
		l = l.copied(t)
	}
	if n := len(l.c.AppendRuns(nil)) / runBytes; n != runsMax {
		t.Fatalf("%d runs", n)
	}
	for i, id := range ids {
		want := uint64(i + 1)
		if i < 10 {
			want = 0
		}
		if got := l.c.Resume(id).Command; got != want {
			t.Fatalf("run %d: %s is taken for command %d", i, id, got)
		}
	}
}

// Of two runs with one number the same counts, in whatever order they are read.
func TestRunsJoinInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runs := rapid.SliceOf(rapid.Custom(func(t *rapid.T) record.Run {
			return record.Run{
				Number: rapid.Uint64Range(1, 5).Draw(t, "number"), Tag: rapid.Uint32Range(1, 4).Draw(t, "tag"),
			}
		})).Draw(t, "runs")
		var one, other history
		for i := range runs {
			one.join(runs[i])
			other.join(runs[len(runs)-1-i])
			other.join(runs[i])
		}
		if len(one.runs) != len(other.runs) {
			t.Fatalf("%v and %v", one.runs, other.runs)
		}
		for i := range one.runs {
			if one.runs[i] != other.runs[i] {
				t.Fatalf("%v and %v", one.runs, other.runs)
			}
		}
	})
}

// Whatever an id is, it names a place or none; a place's own text names it and nothing else does.
func FuzzPlace(f *testing.F) {
	for _, p := range []Place{
		{}, {Tag: 1, Refresh: 2, Command: 3}, {Tag: math.MaxUint32, Refresh: math.MaxUint64, Command: math.MaxUint64},
	} {
		f.Add(string(p.AppendText(nil)))
	}
	for _, s := range []string{"", ".", "..", "1.2", "0000000a.1.2.3", "0000000A.1.2", "00000001.01.2", "00000001.+1.2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parsePlace(text)
		if !ok && p != (Place{}) {
			t.Fatalf("%q is no place, but %+v", text, p)
		}
		if got := string(p.AppendText(nil)); ok && got != text {
			t.Fatalf("%q is read as %s", text, got)
		}
	})
}

// Arbitrary sections are refused or joined; what was joined is written and read again as the same.
func FuzzSections(f *testing.F) {
	m := record.Command{Seq: 7, Ordinal: 3, Account: 1, Holder: 2, Change: 9, AtMs: 5, Reason: event.Suspended}
	two := appendEntry(appendEntry(nil, &m), &record.Command{Seq: 8, Ordinal: 4, Account: 1, Reason: event.RenewalOff})
	f.Add(
		two,
		appendRun(appendRun(nil, record.Run{Number: 1, Tag: 2, FirstCommand: 3, FirstChange: 4}), record.Run{Number: 2}),
	)
	f.Add(two[:len(two)-1], []byte{1})
	f.Add(append(two, two...), []byte{})
	f.Add(appendEntry(two, &record.Command{Seq: 7, Ordinal: 4, Account: 1, Reason: event.RenewalOff}), []byte{})
	f.Fuzz(func(t *testing.T, kept, runs []byte) {
		e := newEngine(0)
		c, again := e.commands(), e.commands()
		if err := c.ReadKept(kept); err != nil {
			return
		}
		if err := c.ReadRuns(runs); err != nil {
			return
		}
		if err := c.WriteKept(again.ReadKept); err != nil {
			t.Fatal(err)
		}
		if err := again.ReadRuns(c.AppendRuns(nil)); err != nil {
			t.Fatal(err)
		}
		if got, want := image(t, again), image(t, c); got != want {
			t.Fatalf("%x, then %x", want, got)
		}
		if n := c.kept.all.n; n*entryBytes > len(kept) {
			t.Fatalf("%d disconnects of %d bytes", n, len(kept))
		}
	})
}

// image returns what a checkpoint of c has.
func image(t fataler, c *Commands) string {
	var b []byte
	if err := c.WriteKept(func(piece []byte) error { b = append(b, piece...); return nil }); err != nil {
		t.Fatal(err)
	}
	return string(c.AppendRuns(b))
}
