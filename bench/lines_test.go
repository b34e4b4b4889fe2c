package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
	eventwire "github.com/meterd/meterd/event/wire"
)

// decode makes b the batch that body holds, as the daemon does.
func decode(format string, b *event.Batch, body []byte) *event.Problem {
	if format == FormatProtobuf {
		return eventwire.DecodeProtobuf(b, body)
	}
	return eventwire.DecodeNDJSON(b, body)
}

// TestEncodersMeanWhatTheySay holds that what the loader sends is what it means: the daemon's own decoder reads the
// same events, whatever batch was encoded before.
func TestEncodersMeanWhatTheySay(t *testing.T) {
	for _, format := range formats {
		for _, payload := range []int{0, 1, 15, 16, 17, 64, 127, 128, 1024} {
			t.Run(fmt.Sprint(format, payload), func(t *testing.T) {
				const devices = devicesMax
				e := newEncoder(format, "p-1", payload, newDraws(3, 1, 0))
				random := newDraws(3, 0, 0)
				all := chooser{fleet: devices, among: devices}
				seen := map[string]bool{}
				for _, events := range []int{1, 127, 128, 500, 500, 1} {
					batch := make([]message, events)
					for i := range batch {
						batch[i] = all.message(random.next())
					}
					checkBatch(t, format, e.appendBatch(nil, batch), batch, payload, seen)
					for i := range batch {
						batch[i] = message{device: devices - 1 - int32(i), kind: connect}
					}
					checkBatch(t, format, e.appendBatch(nil, batch), batch, 0, nil)
				}
			})
		}
	}
}

// checkBatch compares a body with the events that it is to mean, and their payloads with those seen before.
func checkBatch(t *testing.T, format string, body []byte, want []message, payload int, seen map[string]bool) {
	t.Helper()
	var b event.Batch
	if p := decode(format, &b, body); p != nil {
		t.Fatal(p)
	}
	if len(b.Events) != len(want) {
		t.Fatalf("%d events, want %d", len(b.Events), len(want))
	}
	for i, m := range want {
		e := &b.Events[i]
		kind := [...]event.Type{connect: event.Connect, up: event.Up, down: event.Down}[m.kind]
		size := int64(m.size)
		if payload > 0 {
			size = int64(payload)
		}
		got := string(b.Bytes(e.Payload))
		if e.Fault != 0 || e.Type != kind || string(b.Bytes(e.Product)) != "p-1" ||
			string(b.Bytes(e.Device)) != fmt.Sprintf("dev-%07d", m.device) ||
			e.Size != size ||
			len(got) != payload {
			t.Fatalf("event %d of %+v: %+v, device %s, payload %q", i, m, e, b.Bytes(e.Device), got)
		}
		if payload >= 16 && seen[got] {
			t.Fatalf("payload %q comes twice", got)
		}
		if seen != nil {
			seen[got] = true
		}
	}
}

func TestDeviceName(t *testing.T) {
	for device, want := range map[int]string{0: "dev-0000000", 42: "dev-0000042", devicesMax - 1: "dev-9999999"} {
		if got := deviceName(device); got != want {
			t.Errorf("device %d is %s, want %s", device, got, want)
		}
	}
}

// testMessages returns a source of messages to some devices.
func testMessages(e encoder, d draws, devices, batch int) *messages {
	return &messages{
		encoder: e,
		draws:   d,
		chooser: newChooser(devices, Case{Connections: 1}, 0),
		batch:   make([]message, batch),
	}
}

func TestSourcesAllocateNothing(t *testing.T) {
	for _, format := range formats {
		for _, payload := range []int{0, 100} {
			s := testMessages(newEncoder(format, "p", payload, draws{}), newDraws(1, 2, 3), 1000, 100)
			body, _ := s.fill(nil)
			if n := testing.AllocsPerRun(100, func() { body, _ = s.fill(body[:0]) }); n != 0 {
				t.Errorf("%s, payload %d: %v allocations a batch", format, payload, n)
			}
		}
	}
}

func BenchmarkFill(b *testing.B) {
	const batch = 1000
	run := func(name string, e encoder, c Case) {
		b.Run(name, func(b *testing.B) {
			s := testMessages(e, newDraws(1, 2, 3), 1_000_000, batch)
			s.chooser = newChooser(1_000_000, c, 0)
			var body []byte
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				body, _ = s.fill(body[:0])
			}
			b.SetBytes(int64(len(body) / batch))
		})
	}
	for _, format := range formats {
		for _, payload := range []int{0, 64, 256} {
			run(fmt.Sprintf("format=%s/payload=%d", format, payload), newEncoder(format, "bench", payload, draws{}), Case{})
		}
	}
	run("format=protobuf/draw=zipf",
		newEncoder(FormatProtobuf, "bench", 0, draws{}), Case{Draw: DrawZipf, Connections: 32})
	run("format=resp", newCommands(strings.Repeat("0", 40), "20261124"), Case{})
	run("format=prometheus", newSeries("bench"), Case{})
}
