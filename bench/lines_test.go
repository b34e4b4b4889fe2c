package bench

import (
	"fmt"
	"testing"

	"github.com/meterd/meterd/event"
)

// TestLinesDecode holds that what the loader sends is what it means: the daemon's own decoder reads the same events.
func TestLinesDecode(t *testing.T) {
	for _, payload := range []int{0, 1, 15, 16, 17, 64, 1024} {
		t.Run(fmt.Sprint(payload), func(t *testing.T) {
			const devices = devicesMax
			l := newLines("p-1", payload, newDraws(3, 1, 0))
			random := newDraws(3, 0, 0)
			var body []byte
			var want []message
			for range 500 {
				m := messageOf(random.next(), devices)
				want = append(want, m)
				body = l.appendMessage(body, m)
			}
			want = append(want, message{device: devices - 1})
			body = l.appendConnect(body, devices-1)
			var b event.Batch
			if p := b.DecodeNDJSON(body); p != nil {
				t.Fatal(p)
			}
			if len(b.Events) != len(want) {
				t.Fatalf("%d events, want %d", len(b.Events), len(want))
			}
			seen := map[string]bool{}
			for i, m := range want {
				e := &b.Events[i]
				kind, size := event.Up, int64(m.size)
				if m.down {
					kind = event.Down
				}
				if payload > 0 {
					size = int64(payload)
				}
				if i == len(want)-1 {
					kind, size = event.Connect, 0
				}
				got := string(b.Bytes(e.Payload))
				if e.Fault != 0 || e.Type != kind || string(b.Bytes(e.Product)) != "p-1" || string(b.Bytes(e.Device)) != fmt.Sprintf("dev-%07d", m.device) ||
					e.Size != size || kind != event.Connect && len(got) != payload {
					t.Fatalf("event %d of %+v: %+v, device %s, payload %q", i, m, e, b.Bytes(e.Device), got)
				}
				if payload >= 16 && seen[got] {
					t.Fatalf("payload %q comes twice", got)
				}
				seen[got] = payload > 0
			}
		})
	}
}

func TestDeviceName(t *testing.T) {
	for device, want := range map[int]string{0: "dev-0000000", 42: "dev-0000042", devicesMax - 1: "dev-9999999"} {
		if got := deviceName(device); got != want {
			t.Errorf("device %d is %s, want %s", device, got, want)
		}
	}
}

func TestSourcesAllocateNothing(t *testing.T) {
	for _, payload := range []int{0, 100} {
		s := &messages{lines: newLines("p", payload, draws{}), draws: newDraws(1, 2, 3), devices: 1000, batch: 100}
		body, _ := s.fill(nil)
		if n := testing.AllocsPerRun(100, func() { body, _ = s.fill(body[:0]) }); n != 0 {
			t.Errorf("payload %d: %v allocations a batch", payload, n)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	for _, payload := range []int{0, 64, 256} {
		b.Run(fmt.Sprintf("payload=%d", payload), func(b *testing.B) {
			const batch = 1000
			s := &messages{lines: newLines("bench", payload, draws{}), draws: newDraws(1, 2, 3), devices: 1_000_000, batch: batch}
			var body []byte
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				body, _ = s.fill(body[:0])
			}
			b.SetBytes(int64(len(body) / batch))
		})
	}
}
