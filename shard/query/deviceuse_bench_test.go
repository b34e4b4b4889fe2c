package query

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// BenchmarkDeviceUse looks at a week of a million devices (a fiftieth with -short) that sent and were denied every day,
// the running one included. An operation is one answer; peak-MB is how much the heap grew while it was made.
func BenchmarkDeviceUse(b *testing.B) {
	devices, days := 1_000_000, 7
	if testing.Short() {
		devices /= 50
	}
	d := newDaemon(b)
	d.product("p", `{"messages_per_day":2}`, uint64(devices))
	d.fillWeek(devices, days)
	p := d.productOf("p")
	to := p.Window(d.engine.NowMs()).Day
	from := to - uint32(days) + 1
	ask := map[string]func() error{
		"top": func() error {
			_, err := d.TopDevices(b.Context(), TopQuery{Product: p, From: from, To: to, Limit: 20, By: useKinds["messages"]})
			return err
		},
		"what-if": func() error {
			w, err := d.WhatIf(b.Context(), p, from, to, 1)
			if err == nil && w.Devices != int64(devices) {
				b.Fatalf("%d devices", w.Devices)
			}
			return err
		},
	}
	for name, fn := range ask {
		b.Run(fmt.Sprintf("%s/devices=%d/days=%d", name, devices, days), func(b *testing.B) {
			b.ReportAllocs()
			stop, peak := watchHeap()
			for b.Loop() {
				d.must(fn())
			}
			close(stop)
			b.ReportMetric(float64(<-peak)/1e6, "peak-MB")
		})
	}
}

// fillWeek has each device send one to three messages on each day.
func (d *daemon) fillWeek(devices, days int) {
	const batch = 10_000
	for day := range days {
		for from := 0; from < devices; from += batch {
			var lines strings.Builder
			for i := from; i < min(from+batch, devices); i++ {
				name := fmt.Sprint("device-", i)
				if day == 0 {
					lines.WriteString(line("connect", "p", name))
				}
				for range 1 + (i+day)%3 {
					lines.WriteString(line("up", "p", name))
				}
			}
			d.submit(lines.String())
		}
		if day < days-1 {
			d.clock.pass(24 * time.Hour)
		}
	}
	d.must(d.engine.DurableInLedger())
}

// watchHeap notes by how much the heap grows until stop is closed.
func watchHeap() (stop chan struct{}, peak chan uint64) {
	stop, peak = make(chan struct{}), make(chan uint64, 1)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	go func() {
		most := uint64(0)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-tick.C:
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				if now.HeapAlloc > before.HeapAlloc {
					most = max(most, now.HeapAlloc-before.HeapAlloc)
				}
			}
		}
	}()
	return stop, peak
}
