package log

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// appendKinds are the files that a group may be written to, in the order of what a sync must write beside it.
var appendKinds = []struct {
	name string
	set  func(b *testing.B, o *Options)
	next func(b *testing.B, l *Log) // what is done, unmeasured, when a segment is full
}{
	{"growing", func(_ *testing.B, o *Options) { o.Room = func() bool { return false } }, nil},
	{"allocated", nil, func(b *testing.B, l *Log) {
		l.wg.Wait()
		l.dropSpares(b)
		s, err := l.create(l.opts.SegmentBytes)
		if err != nil {
			b.Fatal(err)
		}
		close(s.done)
	}},
	{"zeroed", nil, func(_ *testing.B, l *Log) { l.wg.Wait() }},
	{"zeroing", nil, nil}, // beside the preparation of the next one
	{"recycled", func(_ *testing.B, o *Options) { o.Retention = time.Millisecond }, func(b *testing.B, l *Log) {
		l.wg.Wait()
		last, lastMs, _ := l.Last()
		if err := l.Release(lastMs+2, last); err != nil {
			b.Fatal(err)
		}
	}},
}

// dropSpares forgets what was prepared, so that a benchmark can prepare it in another way.
func (l *Log) dropSpares(b *testing.B) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.spares {
		if err := s.f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	l.spares = nil
}

func BenchmarkAppend(b *testing.B) {
	for _, kind := range appendKinds {
		for _, bytes := range []int{4 << 10, 64 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/bytes=%d", kind.name, bytes), func(b *testing.B) {
				o := Options{Path: filepath.Join(b.TempDir(), "commit"), Retention: time.Hour}
				if kind.set != nil {
					kind.set(b, &o)
				}
				l := openLog(b, o)
				benchmarkAppend(b, l, bytes, func() {
					if kind.next != nil {
						kind.next(b, l)
					}
				})
			})
		}
	}
}

func benchmarkAppend(b *testing.B, l *Log, bytes int, next func()) {
	chunks := make([]int, 16)
	for i := range chunks {
		chunks[i] = (bytes - frameFixedBytes - 17*partBytes - 16) / 16
	}
	g := testGroup(1, 0, chunks...)
	// The first segment is a small one, and the second one is prepared while it is written.
	for ; l.writer.f == nil || l.writer.limit < l.opts.SegmentBytes; g.Seq++ {
		if err := l.Append(g); err != nil {
			b.Fatal(err)
		}
		l.wg.Wait()
	}
	next()
	took := make([]time.Duration, 0, b.N)
	segment := l.writer.segment
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		if err := l.Append(g); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		g.Seq++
		if l.writer.segment != segment {
			b.StopTimer()
			segment = l.writer.segment
			next()
			b.StartTimer()
		}
	}
	b.StopTimer()
	l.wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/10].Microseconds()), "p10-µs")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
}

// benchmarkGroups are groups of 1, 1000 and 50,000 events as they are encoded: 6.4 to 8 bytes an event.
var benchmarkGroups = []struct {
	name          string
	bytes, groups int
}{{"events=1", 200, 5000}, {"events=1000", 8 << 10, 2000}, {"events=50000", 400 << 10, 100}}

// filledLog makes a log without waiting for the disk.
func filledLog(b *testing.B, bytes, groups int) *Log {
	l := openLog(b, Options{Path: filepath.Join(b.TempDir(), "commit"), Retention: time.Hour})
	g := testGroup(1, 0, bytes)
	for seq := range groups {
		g.Seq, g.FirstMs, g.LastMs = uint64(seq+1), int64(seq), int64(seq)
		if err := l.Append(g); err != nil {
			b.Fatal(err)
		}
	}
	l.wg.Wait()
	return l
}

func BenchmarkReplay(b *testing.B) {
	for _, c := range benchmarkGroups {
		b.Run(c.name, func(b *testing.B) {
			l := filledLog(b, c.bytes, c.groups)
			b.SetBytes(int64(c.groups * c.bytes))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				n := 0
				if err := l.Replay(1, func(*Group) error { n++; return nil }); err != nil || n != c.groups {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(c.groups*b.N)/b.Elapsed().Seconds(), "groups/s")
		})
	}
}

// BenchmarkReadBack reads one page of 64 KiB somewhere in the log.
func BenchmarkReadBack(b *testing.B) {
	for _, c := range benchmarkGroups {
		b.Run(c.name, func(b *testing.B) {
			l := filledLog(b, c.bytes, c.groups)
			var block Block
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				at := uint64(2 + i*7919%(c.groups-1))
				if err := l.ReadBack(context.Background(), at, 0, 1<<60, 64<<10, &block); err != nil || len(block.Groups) == 0 {
					b.Fatal(len(block.Groups), err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a log of 130 MiB whose last segment is about full.
func BenchmarkOpen(b *testing.B) {
	l := filledLog(b, 1<<20, 127)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := Open(l.opts)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
