package record

import (
	"math/rand/v2"
	"testing"

	"github.com/meterd/meterd/event"
)

// load is traffic as the figures of speed have it: accepted messages of a million devices, chosen at random, in
// requests of a thousand, spread over the shards as ordinals are.
type load struct {
	ordinals []uint64
	ups      []uint32
	at       int
}

const (
	loadDevices = 1_000_000
	loadBatch   = 1000
	loadShards  = 256
)

func newLoad() *load {
	l := &load{ordinals: make([]uint64, loadDevices), ups: make([]uint32, loadDevices)}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range l.ordinals {
		// The arena of a shard places names one behind the other, some 5 units of 8 bytes each.
		l.ordinals[i] = uint64(i%loadShards)<<31 | uint64(i/loadShards)*5
		l.ups[i] = uint32(r.IntN(1500))
	}
	return l
}

// fill puts rows into b; devices come at random.
func (l *load) fill(b *Builder, r *rand.Rand, rows int) {
	l.fillWith(b, r, rows, func() (size int64, down uint32) { return 120, 3 })
}

func (l *load) fillWith(b *Builder, r *rand.Rand, rows int, message func() (size int64, down uint32)) {
	for i := range rows {
		if i%loadBatch == 0 {
			b.BeginBatch(1_800_000_000_000+int64(l.at), 1)
			l.at++
		}
		d := r.IntN(loadDevices)
		l.ups[d]++
		size, down := message()
		b.Message(event.Up, l.ordinals[d], size, 2500, l.ups[d], down)
	}
}

// An accepted message costs no memory once the lane has seen as many before.
func TestMessageDoesNotAllocate(t *testing.T) {
	var b Builder
	var raw []byte
	fill := func() {
		b.BeginBatch(1_800_000_000_000, 7)
		for i := range 1000 {
			b.Message(event.Up, uint64(i)<<20, 120, 2500+uint32(i/500), 1499, 300)
			b.DeniedMessage(event.Down, uint64(i), 120, QuotaNumbers{1500, 1500, 1_800_086_400_000 + int64(i)}, 2500, 1<<40)
			b.Denied(event.Connect, event.LicenseExhausted, uint64(i), 0, 7)
			b.Other(event.Connect, uint64(i), 0, 7)
			b.Attach(&Extras{
				ID: []byte("id"), Topic: []byte("topic"), Payload: []byte("payload"), IsCut: true, TimeMs: 1_800_000_000_001,
			})
			b.Session(uint64(i), 1<<60)
			b.Closed(WordMessages, uint64(i), 1<<60)
		}
	}
	fill()
	raw = b.Finish(raw[:0])
	if n := testing.AllocsPerRun(20, func() {
		fill()
		raw = b.Finish(raw[:0])
	}); n != 0 {
		t.Errorf("%v allocations for 4000 rows and their chunk", n)
	}
}

// A row that is read costs no memory either.
func TestScanDoesNotAllocate(t *testing.T) {
	var b Builder
	newLoad().fill(&b, rand.New(rand.NewPCG(3, 4)), 10_000)
	c, err := Open(b.Finish(nil))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(5, func() {
		s := c.Scan()
		for s.Next() {
		}
	}); n > 1 { // the Scanner itself
		t.Errorf("%v allocations to read 10,000 rows", n)
	}
}

// A lane must not keep the memory of one huge batch for ever.
func TestBuilderForgetsHugeColumns(t *testing.T) {
	var b Builder
	b.BeginBatch(1, 0)
	payload := make([]byte, event.PayloadBytesMax)
	for range 20 {
		b.Other(event.Connect, 1, 0, 0)
		b.Attach(&Extras{Payload: payload})
	}
	b.Finish(nil)
	if n := cap(b.cols[colPayloads]); n > columnBytesKept {
		t.Errorf("%d bytes are kept", n)
	}
	if cap(b.cols[colKinds]) == 0 {
		t.Error("small columns are not kept")
	}
}

// An accepted message may cost 8 bytes on disk; 6.4 are aimed at.
func TestBytesAMessage(t *testing.T) {
	const budget = 8.0
	c, err := NewCompressor(1)
	if err != nil {
		t.Fatal(err)
	}
	loads := []struct {
		name    string
		message func(r *rand.Rand) (size int64, down uint32)
	}{
		{"one size", func(*rand.Rand) (int64, uint32) { return 120, 3 }},
		{"sizes at random", func(r *rand.Rand) (int64, uint32) { return 40 + int64(r.IntN(200)), 3 }},
		{
			"sizes and both counts at random",
			func(r *rand.Rand) (int64, uint32) { return 40 + int64(r.IntN(200)), uint32(r.IntN(100)) },
		},
	}
	for _, load := range loads {
		for _, rows := range []int{1000, 8000, 64_000} {
			l, r := newLoad(), rand.New(rand.NewPCG(3, 4))
			var b Builder
			l.fillWith(&b, r, rows, func() (int64, uint32) { return load.message(r) })
			raw := b.Finish(nil)
			stored := len(c.Compress(nil, raw))
			each := float64(stored) / float64(rows)
			t.Logf(
				"%s, %d rows a chunk: %.2f bytes raw, %.2f stored, a message",
				load.name,
				rows,
				float64(len(raw))/float64(rows),
				each,
			)
			if each > budget {
				t.Errorf("%s, %d rows a chunk: %.2f bytes a message, %.1f are the most", load.name, rows, each, budget)
			}
		}
	}
}

// The numbers of the quota cost a denial almost nothing: neighbours share them.
func TestBytesADenial(t *testing.T) {
	const budget = 0.05
	c, err := NewCompressor(1)
	if err != nil {
		t.Fatal(err)
	}
	const dayMs = 86_400_000
	loads := []struct {
		name   string
		quota  func(row int, r *rand.Rand) QuotaNumbers
		budget float64
	}{
		{"one product", func(int, *rand.Rand) QuotaNumbers {
			return QuotaNumbers{Limit: 1500, Used: 1500, ResetsAtMs: 20_840 * dayMs}
		}, budget},
		{"one product, units of 64 bytes", func(_ int, r *rand.Rand) QuotaNumbers {
			return QuotaNumbers{Limit: 1500, Used: 1490 + uint32(r.IntN(11)), ResetsAtMs: 20_840 * dayMs}
		}, budget},
		{"a product a request", func(row int, _ *rand.Rand) QuotaNumbers {
			return numbersOf(row / loadBatch % 24)
		}, budget},
		{"24 products mixed in a request", func(_ int, r *rand.Rand) QuotaNumbers { return numbersOf(r.IntN(24)) }, 1.5},
	}
	for _, load := range loads {
		for _, rows := range []int{1000, 64_000} {
			l, r := newLoad(), rand.New(rand.NewPCG(3, 4))
			var b Builder
			fill := func() {
				for i := range rows {
					if i%loadBatch == 0 {
						b.BeginBatch(1_800_000_000_000+int64(i/loadBatch), 1)
					}
					d := r.IntN(loadDevices)
					b.DeniedMessage(event.Up, l.ordinals[d], 120, load.quota(i, r), 2500, uint64(r.IntN(4)))
				}
			}
			fill()
			with := float64(len(c.Compress(nil, b.Finish(nil)))) / float64(rows)
			r = rand.New(rand.NewPCG(3, 4))
			fill()
			b.cols[colQuotas], b.quotaRows = nil, 0
			without := float64(len(c.Compress(nil, b.Finish(nil)))) / float64(rows)
			t.Logf("%s, %d rows a chunk: %.3f bytes a denial, %.3f without the numbers", load.name, rows, with, without)
			if with-without > load.budget {
				t.Errorf("%s: the numbers take %.2f bytes a denial, %.2f are the most", load.name, with-without, load.budget)
			}
		}
	}
}

// numbersOf returns the numbers of one of 24 products, each in a time zone of its own.
func numbersOf(product int) QuotaNumbers {
	limit := 1000 + 500*uint32(product%3)
	return QuotaNumbers{Limit: limit, Used: limit, ResetsAtMs: 1_800_057_600_000 + int64(product)*3_600_000}
}

const benchRows = 64_000

func perRow(b *testing.B, bytes int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
	if bytes > 0 {
		b.ReportMetric(float64(bytes)/benchRows, "B/row")
	}
}

func BenchmarkMessage(b *testing.B) {
	var builder Builder
	ordinals := newLoad().ordinals
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		builder.BeginBatch(1_800_000_000_000, 1)
		for i := range benchRows {
			builder.Message(event.Up, ordinals[i], 120, 2500, 700, 3)
		}
	}
	perRow(b, 0)
}

func BenchmarkDeniedMessage(b *testing.B) {
	var builder Builder
	ordinals := newLoad().ordinals
	q := QuotaNumbers{Limit: 1500, Used: 1500, ResetsAtMs: 1_800_057_600_000}
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		builder.BeginBatch(1_800_000_000_000, 1)
		for i := range benchRows {
			builder.DeniedMessage(event.Up, ordinals[i], 120, q, 2500, 3)
		}
	}
	perRow(b, 0)
}

func BenchmarkFinish(b *testing.B) {
	var builder Builder
	l, r := newLoad(), rand.New(rand.NewPCG(3, 4))
	l.fill(&builder, r, benchRows)
	raw := builder.Finish(nil)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		l.fill(&builder, r, benchRows)
		b.StartTimer()
		raw = builder.Finish(raw[:0])
	}
	perRow(b, len(raw))
}

func BenchmarkCompress(b *testing.B) {
	var builder Builder
	newLoad().fill(&builder, rand.New(rand.NewPCG(3, 4)), benchRows)
	raw := builder.Finish(nil)
	c, err := NewCompressor(1)
	if err != nil {
		b.Fatal(err)
	}
	stored := c.Compress(nil, raw)
	b.ReportAllocs()
	for b.Loop() {
		stored = c.Compress(stored[:0], raw)
	}
	perRow(b, len(stored))
}

func BenchmarkDecompress(b *testing.B) {
	var builder Builder
	newLoad().fill(&builder, rand.New(rand.NewPCG(3, 4)), benchRows)
	c, err := NewCompressor(1)
	if err != nil {
		b.Fatal(err)
	}
	stored := c.Compress(nil, builder.Finish(nil))
	var raw []byte
	b.ReportAllocs()
	for b.Loop() {
		if raw, err = c.Decompress(raw[:0], stored); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, 0)
}

func BenchmarkScan(b *testing.B) {
	var builder Builder
	newLoad().fill(&builder, rand.New(rand.NewPCG(3, 4)), benchRows)
	c, err := Open(builder.Finish(nil))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := c.Scan()
		for s.Next() {
		}
		if s.Err() != nil {
			b.Fatal(s.Err())
		}
	}
	perRow(b, 0)
}

func BenchmarkEffects(b *testing.B) {
	var builder Builder
	for i := range benchRows {
		builder.Session(uint64(i), 1<<60)
	}
	c, err := Open(builder.Finish(nil))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Effects(stopping{}); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, 0)
}
