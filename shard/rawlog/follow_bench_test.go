package rawlog

import (
	"testing"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// productTwo is whose all devices of a benchmark are.
type productTwo struct{}

func (productTwo) Name(counters.Ordinal) (uint32, []byte) { return 2, aName }

var aName = []byte("device")

// BenchmarkFollowRows is what the reader of the log takes for each row that nobody follows, in groups of 10,000
// messages of a million devices: while somebody follows a device, a product (42 ns of a processor each), and for a row
// that is followed (0.53 µs).
func BenchmarkFollowRows(b *testing.B) {
	const rows = 10_000
	for name, follow := range map[string]*follower{
		"device":       {product: 1, device: []byte("seven"), isKnown: true, ordinal: 7},
		"product":      {product: 1},
		"followed-all": {product: 2},
	} {
		b.Run(name, func(b *testing.B) {
			var x record.Builder
			g := commitlog.Group{Seq: 1, FirstMs: 1e12, LastMs: 1e12}
			x.BeginBatch(g.FirstMs, 0)
			for i := range rows {
				x.Message(event.Up, uint64(i*7919%1_000_000+10), 1, 100, uint32(i%1000), 0)
			}
			pack, err := record.NewCompressor(1)
			if err != nil {
				b.Fatal(err)
			}
			g.Chunks = [][]byte{pack.Compress(nil, x.Finish(nil))}
			v := &View{inflate: pack}
			h := &followers{v: v, seatBytes: 1 << 40, seatsBytes: 1 << 40}
			follow.o.Named = func(fn func(views.Devices)) error { fn(productTwo{}); return nil }
			follow.wants = func(*Row) bool { return true }
			r := &followReader{h: h, groups: groupReader{v: v, learn: h.learn}}
			s := &seat{
				h:       h,
				reader:  r,
				f:       follow,
				more:    make(chan struct{}, 1),
				ordinal: follow.ordinal,
				isKnown: follow.isKnown,
			}
			h.audience.Store(newAudience(r, []*seat{s}))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.group(&g); err != nil {
					b.Fatal(err)
				}
				if _, _, err := s.taken(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
		})
	}
}
