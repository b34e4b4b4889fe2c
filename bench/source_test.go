package bench

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
	eventwire "github.com/meterd/meterd/event/wire"
)

// TestTallyIsWhatWasSent holds that drawing again gives exactly what was sent, device by device, however they are
// drawn.
func TestTallyIsWhatWasSent(t *testing.T) {
	const devices, batch, batches = 50, 33, 20
	cases := map[string]Case{"uniform": {}, "zipf": {Draw: DrawZipf}, "one": {Among: 1}, "few": {Among: 7}}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			sent := newTally(devices)
			d := drawn{draws: newDraws(9, 4, 2), chooser: newChooser(devices, c, 3)}
			d.chooser.turn = min(d.chooser.turn, 100) // Others have their turn within the test.
			s := &messages{encoder: newLines("p", 0, draws{}), draws: d.draws, chooser: d.chooser, batch: make([]message, batch)}
			for range batches {
				for device, counts := range read(t, s, batch) {
					sent.up[device] += counts[event.Up]
					sent.down[device] += counts[event.Down]
				}
			}
			again := newTally(devices)
			again.add(d, batch*batches)
			for device := range devices {
				if again.up[device] != sent.up[device] || again.down[device] != sent.down[device] {
					t.Errorf("device %d: drawn again %d up %d down, sent %d and %d",
						device, again.up[device], again.down[device], sent.up[device], sent.down[device])
				}
			}
		})
	}
}

// read takes a batch of a source and counts its lines by device and type.
func read(t *testing.T, s source, want int) map[int]map[event.Type]uint32 {
	t.Helper()
	body, n := s.fill(nil)
	var b event.Batch
	if p := eventwire.DecodeNDJSON(&b, body); p != nil || len(b.Events) != n || n != want {
		t.Fatalf("%d events, %d said, %v", len(b.Events), n, p)
	}
	counts := map[int]map[event.Type]uint32{}
	for i := range b.Events {
		device, err := strconv.Atoi(strings.TrimPrefix(string(b.Bytes(b.Events[i].Device)), devicePrefix))
		if err != nil {
			t.Fatal(err)
		}
		if counts[device] == nil {
			counts[device] = map[event.Type]uint32{}
		}
		counts[device][b.Events[i].Type]++
	}
	return counts
}

// TestRoundsAreEachDeviceOnce: callers share the devices without one left or taken twice, the last batch being shorter.
func TestRoundsAreEachDeviceOnce(t *testing.T) {
	const devices, batch = 1050, 100
	encode := func(payload draws) encoder { return newLines("p", 0, payload) }
	sources := roundOf(devices, Case{Connections: 3, Batch: batch}, connect, encode)
	seen := map[int]uint32{}
	for turn := range (devices + batch - 1) / batch {
		for device, counts := range read(t, sources[turn%len(sources)], min(batch, devices-turn*batch)) {
			seen[device] += counts[event.Connect]
		}
	}
	for _, s := range sources {
		if _, n := s.fill(nil); n != 0 {
			t.Errorf("%d more after the last device", n)
		}
	}
	if len(seen) != devices {
		t.Fatalf("%d devices, want %d", len(seen), devices)
	}
	for device, times := range seen {
		if times != 1 {
			t.Errorf("device %d comes %d times", device, times)
		}
	}
}

// TestDrawsAreUniform: χ² of a hundred devices, and both directions, for many streams; the bound is passed once in a
// billion.
func TestDrawsAreUniform(t *testing.T) {
	const devices, n = 100, 100_000
	all := newChooser(devices, Case{}, 1)
	for caller := range 5 {
		d := newDraws(1, 2, caller)
		counts := [devices]int{}
		downs := 0
		for range n {
			m := all.message(d.next())
			counts[m.device]++
			if m.kind == down {
				downs++
			}
			if m.size < sizeMin || m.size > 999 {
				t.Fatalf("size %d has not three digits and two bytes", m.size)
			}
		}
		chi := 0.0
		for _, c := range counts {
			difference := float64(c) - n/devices
			chi += difference * difference / (n / devices)
		}
		if chi > 200 || downs < n/2-1000 || downs > n/2+1000 {
			t.Errorf("caller %d: χ² %.0f of 99 degrees, %d of %d down", caller, chi, downs, n)
		}
	}
}

// TestZipf: each rank has about its share, the ranks that are seldom together.
func TestZipf(t *testing.T) {
	const devices, n = 10_000, 1_000_000
	zipf := newChooser(devices, Case{Draw: DrawZipf, Connections: 1}, 0)
	d := newDraws(1, 2, 3)
	counts := [devices]float64{}
	for range n {
		counts[zipf.message(d.next()).device]++
	}
	share := func(from, to float64) float64 { return math.Log(to/from) / math.Log(devices+1) }
	for rank := range 20 {
		want := n * share(float64(rank+1), float64(rank+2))
		if math.Abs(counts[rank]-want) > 6*math.Sqrt(want) {
			t.Errorf("rank %d has %.0f, want about %.0f", rank+1, counts[rank], want)
		}
	}
	tail := 0.0
	for _, count := range counts[devices/2:] {
		tail += count
	}
	if want := n * share(devices/2+1, devices+1); math.Abs(tail-want) > 6*math.Sqrt(want) {
		t.Errorf("the rarer half has %.0f, want about %.0f", tail, want)
	}
}

// TestNoDayIsUsedUp: the likeliest device is sent less than a day may hold (R10), however long it goes on.
func TestNoDayIsUsedUp(t *testing.T) {
	for name, c := range map[string]Case{"one": {Among: 1}, "zipf": {Draw: DrawZipf}} {
		c.Connections = 1
		h := newChooser(100_000, c, 1)
		first, d := h.first, newDraws(1, 1, 1)
		const n = 1_000_000
		hot := 0
		for range n {
			if int(h.message(d.next()).device) == first {
				hot++
			}
		}
		if a := float64(hot) / n * float64(h.turn); a < 0.95*hotMessagesMax || a > 1.05*hotMessagesMax {
			t.Errorf("%s: the likeliest device has %d of %d messages, so %.0f of the %d of its turn", name, hot, n, a, h.turn)
		}
		h.left = 0
		if h.message(d.next()); h.first != (first+turnStride)%100_000 {
			t.Errorf("%s: %d came after %d", name, h.first, first)
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
