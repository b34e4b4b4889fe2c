package record

import (
	"math/rand/v2"
	"testing"

	"github.com/meterd/meterd/event"
)

// whole reads a chunk both ways and compares what they say; it reports whether Messages took it.
func whole(t *testing.T, m *Messages, c *Chunk) bool {
	t.Helper()
	s := c.Scan()
	rows := 0
	ok, err := m.Each(c, func(run *MessageRun) error {
		for i, ordinal := range run.Ordinals {
			if !s.Next() {
				if s.Err() == nil {
					t.Fatalf("row %d: the scanner has none", rows)
				}
				return s.Err() // Of a column that Messages does not look at.
			}
			if r := &s.Row; r.Ordinal != ordinal || r.DecidedMs != run.DecidedMs || r.Day != run.Day || r.Up != run.Ups[i] ||
				r.Down != run.Downs[i] || m.Bare && (byte(r.Type) != run.Types[i] || uint64(r.Size) != run.Sizes[i]) {
				t.Fatalf(
					"row %d: %+v, but device %d, %d and %d of day %d at %d",
					rows,
					*r,
					ordinal,
					run.Ups[i],
					run.Downs[i],
					run.Day,
					run.DecidedMs,
				)
			}
			rows++
		}
		return nil
	})
	if ok && err == nil && rows != c.Rows() {
		t.Fatalf("%d of %d rows", rows, c.Rows())
	}
	if !ok && (err != nil || rows != 0) {
		t.Fatalf("not taken, but %d rows and %v", rows, err)
	}
	if ok && err != nil {
		for s.Next() { // What cannot be read column by column cannot be read row by row either.
		}
		if s.Err() == nil {
			t.Fatalf("column by column: %v; row by row: nothing", err)
		}
	}
	return ok
}

// Column by column is row by row, over days and requests, with large counts, attachments, and requests that left no
// rows.
func TestMessagesAreRows(t *testing.T) {
	var b Builder
	r := rand.New(rand.NewPCG(1, 2))
	day := uint32(2500)
	for range 300 {
		b.BeginBatch(1_800_000_000_000+r.Int64N(1e6), uint32(r.IntN(3)))
		for range r.IntN(40) {
			if r.IntN(50) == 0 {
				day++
			}
			b.Message(
				event.Up+event.Type(r.IntN(2)),
				r.Uint64N(1<<39),
				r.Int64N(1<<31),
				day,
				r.Uint32()>>r.IntN(32),
				r.Uint32()>>r.IntN(32),
			)
			if r.IntN(10) == 0 {
				b.Attach(&Extras{
					ID: []byte("id"), Topic: []byte("topic"), Payload: []byte("payload"), IsCut: true, TimeMs: 1_800_000_000_001,
				})
			}
		}
	}
	b.Session(7, 1<<60)
	c, err := Open(b.Finish(nil))
	if err != nil {
		t.Fatal(err)
	}
	var m Messages
	for range 2 {
		if !whole(t, &m, &c) {
			t.Fatal("a chunk of messages was not taken")
		}
	}
	if whole(t, &Messages{Bare: true}, &c) {
		t.Error("a chunk with attachments was taken as bare")
	}
	b.BeginBatch(1_800_000_000_000, 1)
	for range 300 {
		b.Message(event.Up+event.Type(r.IntN(2)), r.Uint64N(1<<39), r.Int64N(1<<31), day, r.Uint32()>>r.IntN(32), 0)
	}
	if c, err = Open(b.Finish(nil)); err != nil || !whole(t, &Messages{Bare: true}, &c) {
		t.Error("a chunk of bare messages was not taken", err)
	}
}

// Anything but accepted messages is the scanner's.
func TestMessagesLeaveTheRest(t *testing.T) {
	for name, add := range map[string]func(*Builder){
		"connect":        func(b *Builder) { b.Other(event.Connect, 1, 0, 7) },
		"denied":         func(b *Builder) { b.Denied(event.Up, event.Suspended, 1, 120, 7) },
		"denied message": func(b *Builder) { b.DeniedMessage(event.Down, 1, 120, QuotaNumbers{Used: 1500}, 2500, 1) },
		"stranger":       func(b *Builder) { b.Stranger(event.Up, event.NotActivated, 1, []byte("d"), 120) },
	} {
		var b Builder
		b.BeginBatch(1_800_000_000_000, 1)
		b.Message(event.Up, 1, 120, 2500, 1, 0)
		add(&b)
		c, err := Open(b.Finish(nil))
		if err != nil {
			t.Fatal(err)
		}
		if whole(t, &Messages{}, &c) {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// Damaged columns neither panic nor give other rows than the scanner.
func FuzzMessages(f *testing.F) {
	var b Builder
	b.BeginBatch(1_800_000_000_000, 1)
	for i := range uint32(5) {
		b.Message(event.Up, uint64(i)<<30, 120, 2500+i/3, i<<10, i)
	}
	f.Add(b.Finish(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := Open(raw); err == nil {
			whole(t, &Messages{}, &c)
			whole(t, &Messages{Bare: true}, &c)
		}
	})
}

func BenchmarkMessages(b *testing.B) {
	var builder Builder
	newLoad().fill(&builder, rand.New(rand.NewPCG(3, 4)), benchRows)
	c, err := Open(builder.Finish(nil))
	if err != nil {
		b.Fatal(err)
	}
	var m Messages
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := m.Each(&c, func(*MessageRun) error { return nil }); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	perRow(b, 0)
}
