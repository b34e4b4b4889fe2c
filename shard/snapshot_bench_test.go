package shard

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

// BenchmarkSnapshot is what the rows of a snapshot of all devices cost beside two callers that send messages as fast as
// they are answered: every device was used on three days that are closed, and on the running one. An operation is a
// snapshot, read to its last row. extra-MB is anonymous memory beyond that before it, at its peak; checkpoint-ms and
// cut-ms are the longest request beside a checkpoint and beside the snapshot, checkpoint-gate-ms and cut-gate-ms how
// long the gate was closed at most; cpu-s is the processor time of the process, its traffic included.
func BenchmarkSnapshot(b *testing.B) {
	for _, devices := range []int{1_000_000, 10_000_000} {
		n := scaled(devices)
		for _, busy := range []bool{false, true} {
			b.Run(fmt.Sprintf("devices=%d/traffic=%v", n, busy), func(b *testing.B) { benchSnapshot(b, n, busy) })
		}
	}
}

func benchSnapshot(b *testing.B, devices int, busy bool) {
	f := newFleet(b)
	f.stock("p", `{"messages_per_day":null}`, devices)
	f.fill("connect", "p", 0, devices)
	for range 3 {
		f.fill("up", "p", 0, devices)
		now, _ := f.steady.Now()
		f.steady.run(now.Add(24 * time.Hour))
		if err := f.closeDays(); err != nil {
			b.Fatal(err)
		}
	}
	f.fill("up", "p", 0, devices)
	if err := f.DurableInLedger(); err != nil {
		b.Fatal(err)
	}
	events := f.verdicts[event.Up][event.Accepted].Load()
	rate := func(since time.Time) float64 {
		return float64(f.verdicts[event.Up][event.Accepted].Load()-events) / time.Since(since).Seconds() / 1e6
	}
	if busy {
		t := f.traffic("p", devices, 1000)
		defer t.end()
		defer func() { b.ReportMetric(t.look(), "cut-ms") }()
		defer f.baseline(b, t)()
	}
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // As in the daemon.
	debug.FreeOSMemory()
	before := anonymousBytes(b)
	peak, stop := peakMemory(b)
	f.gateClosed()
	began, used := time.Now(), processorTime(b)
	events = f.verdicts[event.Up][event.Accepted].Load()
	b.ResetTimer()
	for range b.N {
		source, err := f.sourceAt("", calendar.MonthOf(calendar.WindowAt(f.NowMs(), time.UTC).Day))
		if err != nil {
			b.Fatal(err)
		}
		rows := 0
		err = source.Devices(b.Context(), func(*snapshot.Row) error { rows++; return nil })
		if err != nil || rows != devices {
			b.Fatalf("%d rows, %v", rows, err)
		}
		if err := source.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	stop()
	b.ReportMetric(rate(began), "M-events/s")
	b.ReportMetric((processorTime(b) - used).Seconds(), "cpu-s")
	b.ReportMetric(float64(*peak-before)/1e6, "extra-MB")
	b.ReportMetric(f.gateClosed(), "cut-gate-ms")
}

// baseline measures a checkpoint beside traffic.
func (f *fleet) baseline(b *testing.B, t *traffic) (report func()) {
	b.Helper()
	f.gateClosed()
	t.look()
	if err := f.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	longest, closed := t.look(), f.gateClosed()
	return func() {
		b.ReportMetric(longest, "checkpoint-ms")
		b.ReportMetric(closed, "checkpoint-gate-ms")
	}
}

// peakMemory samples the anonymous memory of the process until stop is called.
func peakMemory(b *testing.B) (peak *int64, stop func()) {
	peak = new(int64)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			*peak = max(*peak, anonymousBytes(b))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return peak, func() { close(done); wg.Wait() }
}

func anonymousBytes(b *testing.B) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssAnon:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("no RssAnon")
	return 0
}
