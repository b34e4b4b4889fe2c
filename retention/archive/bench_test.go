package archive

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// load feeds rows of devices at random, in groups of a thousand that are decided in one millisecond each, as a
// gateway's requests are, and writes runs as they are due.
type load struct {
	s       *Store
	dice    *rand.Rand
	devices int
	nowMs   int64
	stepMs  int64 // between two groups
	seq     uint64
	up      []uint32
	day     uint32
}

func (l *load) group(b testing.TB) {
	const rows = 1000
	l.seq++
	if err := l.s.Group(l.seq, l.nowMs, l.nowMs); err != nil {
		b.Fatal(err)
	}
	if d := uint32(l.nowMs / day.Milliseconds()); d != l.day {
		l.day = d
		clear(l.up)
	}
	r := Row{DecidedMs: l.nowMs}
	for range rows {
		o := l.dice.Uint32N(uint32(l.devices))
		l.up[o]++
		r.Device, r.Type, r.Code = Known(0, uint64(o)), typeUp, 0
		r.Size, r.Day, r.Up, r.Down, r.Used = int64(20+l.dice.IntN(200)), l.day, l.up[o], 0, l.up[o]
		l.s.Add(&r)
	}
	l.s.End(Position{Seq: l.seq}, l.nowMs)
	l.nowMs += l.stepMs/2 + l.dice.Int64N(l.stepMs+1)
	if l.s.Due(l.nowMs) {
		if err := l.s.WriteRun(); err != nil {
			b.Fatal(err)
		}
	}
}

func newLoad(b testing.TB, path string, devices int, stepMs int64) *load {
	s, err := Open(Options{Path: path, Retention: 7 * day, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s.SetProducts(func(uint64) uint32 { return 1 })
	return &load{
		s: s, dice: rand.New(rand.NewPCG(1, 2)), devices: devices, nowMs: beginMs, stepMs: stepMs,
		up: make([]uint32, devices),
	}
}

// BenchmarkArchive is what gathering and writing runs takes; b.N is rows in thousands.
func BenchmarkArchive(b *testing.B) {
	for _, stepMs := range []int64{1, 600} {
		b.Run(fmt.Sprintf("devices=1M/step=%dms", stepMs), func(b *testing.B) {
			l := newLoad(b, filepath.Join(b.TempDir(), "archive"), 1_000_000, stepMs)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				l.group(b)
			}
			if l.s.memory.rows > 0 {
				if err := l.s.WriteRun(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			x := l.s.Stats()
			b.ReportMetric(float64(x.Bytes)/float64(x.Rows), "bytes/event")
			b.ReportMetric(float64(x.Rows)/b.Elapsed().Seconds()/1e6, "Mevents/s")
			if err := l.s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
