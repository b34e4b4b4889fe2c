package duplicates

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"github.com/meterd/meterd/shard/record"
)

func keyOf(n int) record.EventKey {
	return xxh3.Hash128(binary.LittleEndian.AppendUint64(nil, uint64(n))).Bytes()
}

// crowdedKeyOf returns keys that all lie in one shard, and crowd its index.
func crowdedKeyOf(n int) (k record.EventKey) {
	k[15] = byte(n)
	k[8] = byte(n % 3)
	return k
}

func decided(k record.EventKey, atS uint32) record.Decided {
	return record.Decided{Key: k, AtS: atS, Outcome: record.OutcomeAccepted}
}

// look returns what is remembered.
func look(m *Memory, k record.EventKey, nowS int64) record.Outcome {
	o := m.Begin(&k, nowS)
	m.Forget(&k, false)
	return o
}

// modelled is what a shard should know: its keys in the order in which they came, the newest last.
type modelled struct {
	list []record.Decided
	max  int
}

func (l *modelled) add(d *record.Decided) {
	for len(l.list) > 0 && int64(d.AtS)-int64(l.list[0].AtS) >= keptS {
		l.list = l.list[1:]
	}
	l.list = append(l.list, *d)
	if len(l.list) > l.max {
		l.list = l.list[1:]
	}
}

func (l *modelled) find(k record.EventKey, nowS int64) record.Outcome {
	for i := len(l.list) - 1; i >= 0; i-- {
		if d := &l.list[i]; d.Key == k {
			if nowS-int64(d.AtS) < keptS {
				return d.Outcome
			}
			return 0
		}
	}
	return 0
}

// A shard remembers its newest keys, each for a day, whatever their hashes are and however often it is full.
func TestMemoryIsAsModelled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const keys = 200
		most := 1 << rapid.IntRange(2, 7).Draw(t, "room")
		m, model := New(Options{ShardMax: most}), modelled{max: most}
		nowS := uint32(1_800_000_000)
		for range rapid.IntRange(1, 600).Draw(t, "events") {
			k := crowdedKeyOf(rapid.IntRange(0, keys-1).Draw(t, "key"))
			nowS += uint32(rapid.SampledFrom([]int{0, 0, 0, 1, 600, 40000}).Draw(t, "later"))
			got, want := m.Begin(&k, int64(nowS)), model.find(k, int64(nowS))
			if got != want {
				t.Fatalf("%x is remembered as %d, want %d", k, got, want)
			}
			if got != 0 && rapid.Bool().Draw(t, "holds") {
				m.Forget(&k, true)
				continue
			}
			if got != 0 {
				nowS++ // Of two records in one second the larger outcome would count.
			}
			d := decided(k, nowS)
			d.Outcome = record.Outcome(rapid.IntRange(1, 3).Draw(t, "outcome"))
			m.Remember(d)
			model.add(&d)
			if rapid.IntRange(0, 99).Draw(t, "tidy") == 0 {
				m.Tidy(int64(nowS) * 1000)
			}
		}
		again := New(Options{ShardMax: most})
		if err := m.Sections(100, again.LoadSection); err != nil {
			t.Fatal(err)
		}
		for n := range keys {
			k := crowdedKeyOf(n)
			want := model.find(k, int64(nowS))
			if got, loaded := look(m, k, int64(nowS)), look(again, k, int64(nowS)); got != want || loaded != want {
				t.Fatalf("%x is remembered as %d, and %d from a checkpoint; want %d", k, got, loaded, want)
			}
		}
		m.Tidy((int64(nowS) + keptS) * 1000)
		if m.Len() != 0 || m.Bytes() != 0 {
			t.Fatalf("%d keys and %d bytes are left of a day ago", m.Len(), m.Bytes())
		}
	})
}

// Records may be joined in any order, and twice: of two of one key the later one counts, in one second the larger.
func TestJoinTakesTheLater(t *testing.T) {
	k := keyOf(1)
	first := record.Decided{Key: k, AtS: 100, Outcome: record.OutcomeDenied}
	second := record.Decided{Key: k, AtS: 100, Outcome: record.OutcomeAccepted}
	third := record.Decided{Key: k, AtS: 101, Outcome: record.OutcomeDenied}
	for _, c := range []struct {
		list []record.Decided
		want record.Outcome
	}{
		{[]record.Decided{first, second}, record.OutcomeAccepted},
		{[]record.Decided{second, first, second}, record.OutcomeAccepted},
		{[]record.Decided{third, first, second}, record.OutcomeDenied},
		{[]record.Decided{first, second, third, second}, record.OutcomeDenied},
	} {
		m := New(Options{})
		for i := range c.list {
			m.Join(&c.list[i])
		}
		if got := look(m, k, 101); got != c.want {
			t.Errorf("%+v: %d, want %d", c.list, got, c.want)
		}
	}
}

// The last four million keys are known, through a checkpoint too, and take no more than limits.go says.
func TestMemoryHoldsWhatItPromises(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills 134 MB")
	}
	const extra = 300_000
	m := New(Options{})
	for n := range EventsMin + extra {
		k := keyOf(n)
		if m.Begin(&k, 1) != 0 {
			t.Fatal(n)
		}
		m.Remember(decided(k, 1))
	}
	again, bytes := New(Options{}), 0
	err := m.Sections(4<<20, func(piece []byte) error {
		bytes += len(piece)
		return again.LoadSection(piece)
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := extra; n < EventsMin+extra; n += 7 {
		if k := keyOf(n); look(m, k, 1) == 0 || look(again, k, 1) == 0 {
			t.Fatalf("key %d of the last %d is forgotten", n-extra, EventsMin)
		}
	}
	if m.Bytes() != shards*shardMax*32 || m.Len() != shards*shardMax || again.Len() != m.Len() ||
		bytes != 21*shards*shardMax {
		t.Errorf("%d keys take %d bytes, %d in a checkpoint", m.Len(), m.Bytes(), bytes)
	}
	runtime.KeepAlive(again)
}

// While one event is decided, another with the same key waits, and finds what became of it.
func TestOneAtATime(t *testing.T) {
	const doubles = 64
	m := New(Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	first := 0
	for range doubles {
		wg.Go(func() {
			k := keyOf(7)
			if m.Begin(&k, 1) != 0 {
				m.Forget(&k, true)
				return
			}
			mu.Lock()
			first++
			mu.Unlock()
			runtime.Gosched()
			m.Remember(decided(k, 1))
		})
	}
	wg.Wait()
	if first != 1 || m.Found() != doubles-1 || m.Len() != 1 {
		t.Errorf("%d decided it, %d found it", first, m.Found())
	}
}

func TestNothingIsAllocated(t *testing.T) {
	m := New(Options{ShardMax: 64})
	n := 0
	next := func() {
		var k record.EventKey
		binary.LittleEndian.PutUint32(k[8:], uint32(n*7919))
		k[0], n = byte(n), n+1
		m.Begin(&k, 1)
		m.Remember(decided(k, 1))
	}
	for range 64 * shards {
		next()
	}
	if a := testing.AllocsPerRun(1000, next); a != 0 {
		t.Errorf("%v allocations an event", a)
	}
}

// A section is what FORMAT.md of the engine draws, byte by byte.
func TestSectionIsAsDrawn(t *testing.T) {
	m := New(Options{})
	k := record.EventKey([]byte("0123456789abcdef"))
	m.Join(&record.Decided{Key: k, AtS: 0x01020304, Outcome: record.OutcomeObserved})
	want := "0123456789abcdef\x04\x03\x02\x01\x03"
	if err := m.Sections(100, func(b []byte) error {
		if string(b) != want {
			t.Errorf("%q, want %q", b, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func FuzzLoadSection(f *testing.F) {
	f.Add([]byte("0123456789abcdef\x04\x03\x02\x01\x03"))
	f.Add([]byte("0123456789abcdef\x04\x03\x02\x01\x04"))
	f.Add([]byte("0123"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := New(Options{ShardMax: 16})
		if m.LoadSection(data) != nil {
			return
		}
		var once, twice []byte
		add := func(to *[]byte) func([]byte) error {
			return func(b []byte) error { *to = append(*to, b...); return nil }
		}
		if err := m.Sections(1000, add(&once)); err != nil {
			t.Fatal(err)
		}
		again := New(Options{ShardMax: 16})
		if err := again.LoadSection(once); err != nil {
			t.Fatal(err)
		}
		if err := again.Sections(1000, add(&twice)); err != nil {
			t.Fatal(err)
		}
		if len(twice) > len(once) {
			t.Fatalf("%x, then %x", once, twice)
		}
	})
}

func BenchmarkRemember(b *testing.B) {
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprint("known=", known), func(b *testing.B) {
			m := New(Options{})
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				k := keyOf(n)
				if known {
					k = keyOf(n % 1000)
				}
				if m.Begin(&k, 1) != 0 {
					m.Forget(&k, true)
					continue
				}
				m.Remember(decided(k, 1))
			}
		})
	}
}
