package retention

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// benchmarkChunks are groups of 1, 1000 and 50,000 events as the record codec writes them: 6.4 to 8 bytes an event.
var benchmarkChunks = []struct {
	name  string
	bytes int
}{{"events=1", 200}, {"events=1000", 8 << 10}, {"events=50000", 400 << 10}}

func benchmarkLog(b *testing.B) *Log {
	b.Helper()
	l, err := OpenLog(LogOptions{Path: filepath.Join(b.TempDir(), "commit"), Retention: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range benchmarkChunks {
		b.Run(c.name, func(b *testing.B) {
			l := benchmarkLog(b)
			g := testGroup(1, 0, 0, c.bytes)
			took := make([]time.Duration, 0, b.N)
			b.SetBytes(int64(c.bytes))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				g.Seq = uint64(i + 1)
				start := time.Now()
				if err := l.Append(g); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
		})
	}
}

func BenchmarkReplay(b *testing.B) {
	for i, c := range benchmarkChunks {
		groups := []int{20_000, 5_000, 500}[i]
		b.Run(c.name, func(b *testing.B) {
			l := benchmarkLog(b)
			g := testGroup(1, 0, 0, c.bytes)
			for seq := range groups {
				g.Seq = uint64(seq + 1)
				if err := l.Append(g); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(groups * c.bytes))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				n := 0
				if err := l.Replay(1, func(*Group) error { n++; return nil }); err != nil || n != groups {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(groups*b.N)/b.Elapsed().Seconds(), "groups/s")
		})
	}
}

func BenchmarkScanHeads(b *testing.B) {
	l := benchmarkLog(b)
	const groups = 10_000
	for seq := range groups {
		if err := l.Append(testGroup(uint64(seq+1), int64(seq), int64(seq), 200)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		n := 0
		err := l.Scan(context.Background(), 0, groups, true, func(*Group) (bool, error) { n++; return true, nil })
		if err != nil || n != groups {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(groups*b.N)/b.Elapsed().Seconds(), "groups/s")
}

func BenchmarkLedgerWrite(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			l := openTestLedger(b, filepath.Join(b.TempDir(), "ledger"))
			entries := make([]Entry, n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for j := range entries {
					entries[j] = Entry{
						Key:   fmt.Appendf(nil, "row/%08d/%08d", i, j),
						Value: []byte("forty bytes of a licence that is consumed"),
					}
				}
				if err := l.Write(entries); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory reports what an open log and ledger hold on the heap after some use.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapInuse) / (1 << 20)
	}
	for range b.N {
		before := heap()
		l := benchmarkLog(b)
		for seq := range 100 {
			if err := l.Append(testGroup(uint64(seq+1), 0, 0, 8<<10)); err != nil {
				b.Fatal(err)
			}
		}
		withLog := heap()
		ledger := openTestLedger(b, filepath.Join(b.TempDir(), "ledger"))
		if err := ledger.Write([]Entry{{Key: []byte("k"), Value: []byte("v")}}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(withLog-before, "log-MiB")
		b.ReportMetric(heap()-withLog, "ledger-MiB")
		runtime.KeepAlive(l)
		runtime.KeepAlive(ledger)
	}
}
