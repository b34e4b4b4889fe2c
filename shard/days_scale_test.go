package shard

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
)

// scatter has devices below n send so many messages, up and down, at random.
func (f *fleet) scatter(product string, n, messages int) {
	f.t.Helper()
	const batch = 5000
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(w)))
			r := &Request{Batch: &event.Batch{}, Producer: []byte("gw")}
			for next.Add(batch) <= int64(max(messages, batch)) {
				var body []byte
				for range batch {
					body = lines(body, []string{"up", "up", "down"}[random.IntN(3)], product, random.IntN(n), 1)
				}
				if p := wire.DecodeNDJSON(r.Batch, body); p != nil {
					f.t.Error(p)
					return
				}
				if err := f.Submit(r); err != nil {
					f.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
}

// A day of a million devices ends, at rest or under traffic of other devices: how long the scan takes until all words
// are durable, and the ledger until they are merged; how long the gate was closed meanwhile and in the second before,
// the longest request, and what a device-day takes in the log (at rest) and in the ledger.
func BenchmarkDayEnds(b *testing.B) {
	n := scaled(1_000_000)
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("devices=%d/traffic=%v", n, busy), func(b *testing.B) {
			f := newFleet(b)
			p := f.stock("p", `{"messages_per_day":null}`, n)
			f.stock("others", `{"messages_per_day":null}`, n)
			f.fill("connect", "p", 0, n)
			f.fill("connect", "others", 0, n)
			for b.Loop() {
				b.StopTimer()
				f.scatter("p", n, 6*n)
				if err := f.DurableInLedger(); err != nil {
					b.Fatal(err)
				}
				f.dayEnds(b, p, n, busy)
			}
		})
	}
}

func (f *fleet) dayEnds(b *testing.B, p *license.Product, n int, busy bool) {
	day := p.Window(f.NowMs()).Day
	t := &traffic{}
	if busy {
		t = f.traffic("others", n, 1000)
	}
	f.gateClosed()
	f.awaitTime(f.now().Add(time.Second))
	before := f.gateClosed()
	t.look()
	f.days.running.Lock() // So that the engine's own scan does not come first.
	f.steady.run(time.UnixMilli(p.Window(f.NowMs()).DayEndMs))
	logged := f.stats.bytes.Load()
	b.StartTimer()
	began := time.Now()
	f.days.running.Unlock()
	for p.State.Days.Through() < day { // The engine's own scan may be the one that does it.
		if err := f.closeDays(); err != nil {
			b.Fatal(err)
		}
	}
	scanned := time.Since(began)
	logged = f.stats.bytes.Load() - logged
	if err := f.DurableInLedger(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	merged := time.Since(began)
	gate, longest := f.gateClosed(), t.look()
	t.end()
	rows, bytes := f.measureDay(b, p.ID, day)
	b.ReportMetric(float64(scanned.Milliseconds()), "ms/scan")
	b.ReportMetric(float64(merged.Milliseconds()), "ms/merged")
	b.ReportMetric(before, "ms/gate-before")
	b.ReportMetric(gate, "ms/gate")
	b.ReportMetric(float64(bytes)/float64(rows), "ledger-B/device-day")
	if busy {
		b.ReportMetric(longest, "ms/longest-request")
	} else {
		b.ReportMetric(float64(logged)/float64(rows), "log-B/device-day")
	}
	b.StartTimer()
}

// measureDay returns how many device-days of a product and day the ledger has, and the bytes of their merged blocks.
func (f *fleet) measureDay(b *testing.B, product, day uint32) (rows, bytes int) {
	err := usage.NewRows(f.onDisk).
		EachDeviceDay(product, day, 0, 1<<40, func(*views.DeviceDay) error { rows++; return nil })
	if err != nil || rows == 0 {
		b.Fatal(rows, err)
	}
	key := binary.BigEndian.AppendUint32([]byte("D\x01"), product)
	key = binary.BigEndian.AppendUint16(key, uint16(day))
	err = f.onDisk.Scan(key, nil, false, func(k, v []byte) (bool, error) { bytes += len(k) + len(v); return true, nil })
	if err != nil {
		b.Fatal(err)
	}
	return rows, bytes
}
