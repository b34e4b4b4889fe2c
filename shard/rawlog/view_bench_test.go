package rawlog

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// benchLog logs groups of so many messages of a million devices, whose ordinals are spread over the shards as those of
// the engine are, in requests of a thousand.
func benchLog(b *testing.B, path string, groups, rows int) *commitlog.Log {
	b.Helper()
	const devices, shards, batch = 1_000_000, 256, 1000
	log, err := commitlog.Open(commitlog.Options{Path: path, Retention: retention, Archived: true})
	if err != nil {
		b.Fatal(err)
	}
	pack, err := record.NewCompressor(1)
	if err != nil {
		b.Fatal(err)
	}
	dice, ups := rand.New(rand.NewPCG(1, 2)), make([]uint32, devices)
	var x record.Builder
	nowMs := time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for seq := range groups + 1 {
		if seq == groups { // One event of the span after the next one.
			nowMs, rows = nowMs+2*24*time.Hour.Milliseconds(), 1
		}
		g := commitlog.Group{Seq: uint64(seq + 1), FirstMs: nowMs}
		for i := range rows {
			if i%batch == 0 {
				x.BeginBatch(nowMs, 1)
				g.LastMs = nowMs
				nowMs += dice.Int64N(2)
			}
			d := dice.IntN(devices)
			ups[d]++
			x.Message(event.Up, uint64(d%shards)<<31|uint64(d/shards)*5, int64(20+dice.IntN(200)), 47_541, ups[d], 0)
		}
		head := record.Head{}
		g.Head, g.Chunks = head.Append(nil), [][]byte{pack.Compress(nil, x.Finish(nil))}
		if err := log.Append(&g); err != nil {
			b.Fatal(err)
		}
	}
	return log
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkView is what the view takes for a message of a million devices, in processor time of all cores: until it is
// in memory, until it is in a run, and until that is merged to a span.
func BenchmarkView(b *testing.B) {
	const events = 8_000_000
	for _, rows := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("group=%d", rows), func(b *testing.B) {
			log := benchLog(b, filepath.Join(b.TempDir(), "log"), events/rows, rows)
			var gather, merge time.Duration
			for b.Loop() {
				path := filepath.Join(b.TempDir(), "archive")
				store, err := archive.Open(archive.Options{Path: path, Retention: retention})
				if err != nil {
					b.Fatal(err)
				}
				v, err := New(Options{Store: store, Log: log, Retention: retention})
				if err != nil {
					b.Fatal(err)
				}
				used := processorTime(b)
				if err := v.Follow(b.Context(), uint64(events/rows+1), productOne{}); err != nil {
					b.Fatal(err)
				}
				if err := store.WriteRun(); err != nil {
					b.Fatal(err)
				}
				gather += processorTime(b) - used
				used = processorTime(b)
				if err := store.Tidy(b.Context(), store.GatheredMs()); err != nil {
					b.Fatal(err)
				}
				merge += processorTime(b) - used
				if x := store.Stats(); x.Rows != events+1 || x.Spans != 1 {
					b.Fatal(x)
				}
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
			}
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(gather)/float64(b.N*events), "run-cpu-ns/event")
			b.ReportMetric(float64(merge)/float64(b.N*events), "span-cpu-ns/event")
		})
	}
}
