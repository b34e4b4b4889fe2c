package recovery

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// fullTable returns a joiner for a table of so many devices, and their ordinals.
func fullTable(tb testing.TB, devices int) (*Joiner, []uint64) {
	tb.Helper()
	table, err := counters.New(counters.Options{Seed: 7})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := table.Close(); err != nil {
			tb.Error(err)
		}
	})
	compress, err := record.NewCompressor(1)
	if err != nil {
		tb.Fatal(err)
	}
	ordinals := make([]uint64, devices)
	for i := range ordinals {
		name := fmt.Appendf(nil, "dev-%08d", i)
		if !table.Reserve(1) && (table.Grow(1, 4<<20) != nil || !table.Reserve(1)) {
			tb.Fatal("no room")
		}
		slot, _, err := table.Insert(table.KeyOf(1, name), name)
		if err != nil {
			tb.Fatal(err)
		}
		ordinals[i] = uint64(slot.Ordinal())
	}
	return NewJoiner(New(table, nil, nil), Options{Lanes: 1, Compressor: compress}), ordinals
}

// messageGroup is a group of messages of random devices, and calls said for each.
func messageGroup(
	j *Joiner,
	r *rand.Rand,
	ordinals []uint64,
	rows int,
	said func(ordinal uint64, up uint32),
) commitlog.Group {
	var builder record.Builder
	for i := range rows {
		if i%1000 == 0 {
			builder.BeginBatch(1_800_000_000_000, 1)
		}
		ordinal, up := ordinals[r.IntN(len(ordinals))], r.Uint32N(counters.MessagesPerDayMax)
		builder.Message(event.Up, ordinal, 120, 2500, up, 3)
		said(ordinal, up)
	}
	head := record.Head{}
	return commitlog.Group{Head: head.Append(nil), Chunks: [][]byte{j.o.Compressor.Compress(nil, builder.Finish(nil))}}
}

// TestNothingOfAGroupIsKept: the log uses a group's memory again while what was decoded of it waits for being joined.
func TestNothingOfAGroupIsKept(t *testing.T) {
	j, _ := fullTable(t, 1)
	var b record.Builder
	b.BeginBatch(1_800_000_000_000, 0)
	b.Stranger(event.Up, event.NotActivated, 1, []byte("d"), 1)
	head := record.Head{Changes: [][]byte{[]byte("a change")}}
	g := commitlog.Group{Seq: 1, Head: head.Append(nil), Chunks: [][]byte{j.o.Compressor.Compress(nil, b.Finish(nil))}}
	var d decoded
	if err := d.decode(j.o.Compressor, &g, allShards()); err != nil {
		t.Fatal(err)
	}
	clear(g.Head)
	clear(g.Chunks[0])
	if got := string(d.Head.Changes[0]); got != "a change" {
		t.Errorf("the change is %q", got)
	}
	rows := d.Chunks[0].Scan()
	if !rows.Next() || string(rows.Row.Name) != "d" || d.Rows != 1 {
		t.Errorf("the row is %+v of %d", rows.Row, d.Rows)
	}
}

// A large group is joined by several goroutines: every device ends with its largest word, and an unknown one is still
// refused.
func TestLargeGroupIsJoinedByMany(t *testing.T) {
	j, ordinals := fullTable(t, 5000)
	j.o.Lanes = 3
	want := map[uint64]uint32{}
	g := messageGroup(
		j,
		rand.New(rand.NewPCG(1, 2)),
		ordinals,
		10*joinShareMin,
		func(ordinal uint64, up uint32) { want[ordinal] = max(want[ordinal], up) },
	)
	d := &decoded{}
	if err := d.decode(j.o.Compressor, &g, allShards()); err != nil {
		t.Fatal(err)
	}
	if err := j.joinWords(d); err != nil {
		t.Fatal(err)
	}
	for _, ordinal := range ordinals {
		slot := j.s.Table.SlotOf(counters.Ordinal(ordinal))
		if w := slot.Message(); w.Up() != want[ordinal] ||
			(w.Up() != 0 && (w.Day() != 2500 || w.Down() != 3 || slot.Seen().LastSeen() != 1_800_000_000-counters.EpochS)) {
			t.Fatalf(
				"device %d has %d up, %d down of day %d, seen at %d; want %d up",
				ordinal,
				w.Up(),
				w.Down(),
				w.Day(),
				slot.Seen().LastSeen(),
				want[ordinal],
			)
		}
	}
	unknown := messageGroup(
		j,
		rand.New(rand.NewPCG(1, 2)),
		append(ordinals[:4000:4000], uint64(counters.OrdinalMax)),
		10*joinShareMin,
		func(uint64, uint32) {},
	)
	if err := d.decode(j.o.Compressor, &unknown, allShards()); err != nil {
		t.Fatal(err)
	}
	if err := j.joinWords(d); err == nil || !strings.Contains(err.Error(), "which no record has bound") {
		t.Fatalf("an unknown device: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkReplay measures what a restart does with an accepted message of a device among many: decode it, and join it.
func BenchmarkReplay(b *testing.B) {
	for _, devices := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("devices=%dM", devices/1_000_000), func(b *testing.B) {
			if testing.Short() && devices > 1_000_000 {
				b.Skip("takes a gigabyte")
			}
			benchReplay(b, devices)
		})
	}
}

func benchReplay(b *testing.B, devices int) {
	const rows = 100_000
	j, ordinals := fullTable(b, devices)
	groups, all := make([]commitlog.Group, 20), make([]decoded, 20)
	for i := range groups {
		groups[i] = messageGroup(j, rand.New(rand.NewPCG(1, uint64(i))), ordinals, rows, func(uint64, uint32) {})
		if err := all[i].decode(j.o.Compressor, &groups[i], allShards()); err != nil {
			b.Fatal(err)
		}
	}
	each := func(name string, fn func(i int) error) {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := fn(i % len(groups)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
	each("decode", func(i int) error { return all[i].decode(j.o.Compressor, &groups[i], allShards()) })
	for _, lanes := range []int{1, 2} {
		j.o.Lanes = lanes
		each(fmt.Sprintf("join/goroutines=%d", lanes), func(i int) error { return j.joinWords(&all[i]) })
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
