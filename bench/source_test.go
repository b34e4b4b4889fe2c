package bench

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/meterd/meterd/event"
)

// TestTallyIsWhatWasSent holds that drawing again gives exactly what the lines said, device by device.
func TestTallyIsWhatWasSent(t *testing.T) {
	const devices, batch, batches = 50, 33, 20
	sent := newTally(devices)
	drawn := newDraws(9, 4, 2)
	s := &messages{lines: newLines("p", 0, draws{}), draws: drawn, devices: devices, batch: batch}
	names := map[string]int{}
	for device := range devices {
		names[deviceName(device)] = device
	}
	var b event.Batch
	for range batches {
		body, n := s.fill(nil)
		if p := b.DecodeNDJSON(body); p != nil || len(b.Events) != n || n != batch {
			t.Fatalf("%d events, %d said, %v", len(b.Events), n, p)
		}
		for i := range b.Events {
			device := names[string(b.Bytes(b.Events[i].Device))]
			if b.Events[i].Type == event.Up {
				sent.up[device]++
			} else {
				sent.down[device]++
			}
		}
	}
	again := newTally(devices)
	again.add(drawn, batch*batches)
	for device := range devices {
		if again.up[device] != sent.up[device] || again.down[device] != sent.down[device] {
			t.Errorf("device %d: drawn again %d up %d down, sent %d and %d", device, again.up[device], again.down[device], sent.up[device], sent.down[device])
		}
	}
}

// TestConnectsAreEachDeviceOnce: callers share the devices without one left or taken twice, the last batch being shorter.
func TestConnectsAreEachDeviceOnce(t *testing.T) {
	const devices, batch = 1050, 100
	next := &atomic.Int64{}
	callers := []*connects{}
	for range 3 {
		callers = append(callers, &connects{lines: newLines("p", 0, draws{}), next: next, devices: devices, batch: batch})
	}
	seen := map[string]int{}
	for turn, idle := 0, 0; idle < len(callers); turn++ {
		body, n := callers[turn%len(callers)].fill(nil)
		if lines := bytes.Count(body, []byte{'\n'}); lines != n || n > batch {
			t.Fatalf("%d lines, %d said", lines, n)
		}
		if n == 0 {
			idle++
		}
		var b event.Batch
		if n > 0 {
			if p := b.DecodeNDJSON(body); p != nil {
				t.Fatal(p)
			}
		}
		for i := range b.Events {
			seen[string(b.Bytes(b.Events[i].Device))]++
		}
	}
	if len(seen) != devices {
		t.Fatalf("%d devices, want %d", len(seen), devices)
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s connects %d times", name, times)
		}
	}
}

// TestDrawsAreUniform: χ² of a hundred devices, and both directions, for many streams; the bound is passed once in a billion.
func TestDrawsAreUniform(t *testing.T) {
	const devices, n = 100, 100_000
	for caller := range 5 {
		d := newDraws(1, 2, caller)
		counts := [devices]int{}
		down := 0
		for range n {
			m := messageOf(d.next(), devices)
			counts[m.device]++
			if m.down {
				down++
			}
			if m.size < 100 || m.size > 999 {
				t.Fatalf("size %d has not three digits", m.size)
			}
		}
		chi := 0.0
		for _, c := range counts {
			difference := float64(c) - n/devices
			chi += difference * difference / (n / devices)
		}
		if chi > 200 || down < n/2-1000 || down > n/2+1000 {
			t.Errorf("caller %d: χ² %.0f of 99 degrees, %d of %d down", caller, chi, down, n)
		}
	}
}

func TestStreamsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(4) {
		for stage := range 8 {
			for caller := range 64 {
				d := newDraws(seed, stage, caller)
				for range 4 {
					n := d.next()
					if seen[n] {
						t.Fatalf("seed %d, stage %d, caller %d draws what another drew", seed, stage, caller)
					}
					seen[n] = true
				}
			}
		}
	}
}
