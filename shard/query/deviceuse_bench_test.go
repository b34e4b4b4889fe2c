package query

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkDeviceUse looks at a week of a million devices (a fiftieth with -short) that sent and were denied every day,
// the running one included. An operation is one answer, or four at once; peak-MB is how much the heap grew meanwhile.
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
	want := wantedWeek(devices, days)
	top := func() error {
		list, err := d.TopDevices(b.Context(), TopQuery{Product: p, From: from, To: to, Limit: 20, By: useKinds["messages"]})
		if err == nil && (len(list) != 20 || list[0].Up != want.most || list[19].Up != want.most) {
			b.Errorf("the top devices sent %d to %d, want %d", list[0].Up, list[len(list)-1].Up, want.most)
		}
		return err
	}
	whatIf := func() error {
		w, err := d.WhatIf(b.Context(), p, from, to, 1)
		if err == nil && (w.Devices != int64(devices) || w.MessagesDenied != want.overOne) {
			b.Errorf("%d messages of %d devices, want %d", w.MessagesDenied, w.Devices, want.overOne)
		}
		return err
	}
	ask := map[string]func() error{"top": top, "what-if": whatIf, "4-at-once": func() error {
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = []func() error{top, whatIf}[i%2]() })
		}
		wg.Wait()
		return errors.Join(errs...)
	}}
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

// week is what the devices of fillWeek used.
type week struct {
	most    uint64 // messages of a device that were accepted
	overOne uint64 // messages behind the first one of each device and day
}

func wantedWeek(devices, days int) (w week) {
	for i := range devices {
		accepted := uint64(0)
		for day := range days {
			accepted += uint64(min(sentOn(i, day), 2)) // The plan's quota.
			w.overOne += uint64(sentOn(i, day) - 1)
		}
		w.most = max(w.most, accepted)
	}
	return w
}

// sentOn is how many messages a device sends on a day.
func sentOn(device, day int) int { return 1 + (device+day)%3 }

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
				for range sentOn(i, day) {
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
