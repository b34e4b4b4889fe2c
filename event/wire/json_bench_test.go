package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// benchEvents is the size of a batch, except for mixed.
const benchEvents = 1000

// benchLines returns events as a fleet's gateway would send them; format takes the device's number.
func benchLines(format string) [][]byte {
	lines := make([][]byte, benchEvents)
	for i := range lines {
		lines[i] = fmt.Appendf(nil, format, i*7919%1_000_000)
	}
	return lines
}

// mixed returns lines of which no two neighbours are alike, so that the branch predictor has to work as it must in
// life.
func mixed() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	types := [...]string{"up", "up", "up", "down", "down", "connect", "disconnect"}
	lines := make([][]byte, 10*benchEvents)
	for i := range lines {
		device := rnd.Uint64() >> rnd.IntN(60)
		lines[i] = fmt.Appendf(nil, `{"type":%q,"product":"p%d","device":"dev-%d","size":%d}`,
			types[rnd.IntN(len(types))], rnd.IntN(200), device, rnd.IntN(2000)>>rnd.IntN(8))
	}
	return lines
}

func asNDJSON(lines [][]byte) []byte { return append(bytes.Join(lines, []byte{'\n'}), '\n') }

func asArray(lines [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(lines, []byte{','})...), ']')
}

// benchBodies are the bodies that speed and allocations are measured on.
func benchBodies() []struct {
	name   string
	body   []byte
	decode func(*event.Batch, []byte) *event.Problem
} {
	array := func(b *event.Batch, body []byte) *event.Problem {
		_, p := DecodeJSON(b, body)
		return p
	}
	const head = `{"type":"up","product":"p1","device":"dev-%07d"`
	plain := benchLines(head + `,"size":120}`)
	spaced := benchLines(`{ "device": "dev-%07d", "type": "up", "size": 120, "product": "p1" }`)
	payload := func(bytes int) [][]byte {
		return benchLines(head + `,"topic":"t/1","payload":"` + strings.Repeat("0123456789abcdef", bytes/16) + `"}`)
	}
	escaped := benchLines(head + `,"payload":"` + strings.Repeat(`{\"t\":21.5}`, 6) + `"}`)
	base64ed := benchLines(head + `,"payload_base64":"` + base64.StdEncoding.EncodeToString(make([]byte, 64)) + `"}`)
	full := benchLines(
		head + `,"size":120,"topic":"t/1","time":"2026-11-23T18:12:43.123Z","id":"x","extra":{"a":[1,2.5,null]}}`,
	)
	chinese := benchLines(head + `,"payload":"` + strings.Repeat(`温度二十一度`, 4) + `"}`)
	cloud := benchLines(
		`{"specversion":"1.0","type":"io.meterd.up","source":"/gw/7","id":"8a1f-3","subject":"p1/dev-%07d",` +
			`"data":{"size":120,"topic":"t\/1"}}`,
	)
	return []struct {
		name   string
		body   []byte
		decode func(*event.Batch, []byte) *event.Problem
	}{
		{"NDJSON/plain", asNDJSON(plain), DecodeNDJSON},
		{"NDJSON/mixed", asNDJSON(mixed()), DecodeNDJSON},
		{"NDJSON/spaced", asNDJSON(spaced), DecodeNDJSON},
		{"NDJSON/payload=64B", asNDJSON(payload(64)), DecodeNDJSON},
		{"NDJSON/payload=1KiB", asNDJSON(payload(1024)), DecodeNDJSON},
		{"NDJSON/escapes", asNDJSON(escaped), DecodeNDJSON},
		{"NDJSON/base64=64B", asNDJSON(base64ed), DecodeNDJSON},
		{"NDJSON/every-member", asNDJSON(full), DecodeNDJSON},
		{"NDJSON/chinese=72B", asNDJSON(chinese), DecodeNDJSON},
		{"JSON/plain", asArray(plain), array},
		{"CloudEvents/plain", asArray(cloud), DecodeCloudEvents},
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchBodies() {
		b.Run(c.name, func(b *testing.B) {
			var batch event.Batch
			events := 0
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				if p := c.decode(&batch, c.body); p != nil {
					b.Fatal(p)
				}
				events += len(batch.Events)
				batch.Reset()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}

// BenchmarkCopy is what the decoder spends on having the body in memory of its own.
func BenchmarkCopy(b *testing.B) {
	for _, c := range benchBodies() {
		b.Run(c.name, func(b *testing.B) {
			data := make([]byte, 0, len(c.body))
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				data = append(data[:0], c.body...)
			}
		})
	}
}
