package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// plainEvent is an Event with its Refs resolved, to compare with.
type plainEvent struct {
	Type                                event.Type
	Product, Device, ID, Topic, Payload string
	Size, TimeMs                        int64
	Fault                               event.Fault
}

// resolve fails if a Ref leaves Data.
func resolve(t *testing.T, b *event.Batch) []plainEvent {
	t.Helper()
	text := func(r event.Ref) string {
		if int(r.Off)+int(r.Len) > len(b.Data) {
			t.Fatalf("%+v leaves the %d bytes of Data", r, len(b.Data))
		}
		return string(b.Bytes(r))
	}
	events := make([]plainEvent, 0, len(b.Events))
	for _, e := range b.Events {
		events = append(events, plainEvent{
			e.Type, text(e.Product), text(e.Device), text(e.ID), text(e.Topic), text(e.Payload), e.Size, e.TimeMs, e.Fault,
		})
	}
	return events
}

// decodeOne decodes s as a line and as an element of an array, which must come to the same.
func decodeOne(t *testing.T, s string) plainEvent {
	t.Helper()
	var lines, array event.Batch
	if p := DecodeNDJSON(&lines, []byte(s)); p != nil {
		t.Fatalf("%s: %v", s, p)
	}
	if _, p := DecodeJSON(&array, []byte("["+s+"]")); p != nil {
		t.Fatalf("[%s]: %v", s, p)
	}
	got := resolve(t, &lines)
	if len(got) != 1 || !slices.Equal(got, resolve(t, &array)) {
		t.Fatalf("%s: %+v as a line, %+v in an array", s, got, resolve(t, &array))
	}
	return got[0]
}

// validCase is a text and the event that it is.
type validCase struct {
	in   string
	want plainEvent
}

func (c validCase) check(t *testing.T) {
	t.Helper()
	if got := decodeOne(t, c.in); got != c.want {
		t.Errorf("%.200s:\ngot  %.300s\nwant %.300s", c.in, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want))
	}
}

var up = plainEvent{Type: event.Up, Product: "p1", Device: "d1"}

// with returns up, changed.
func with(change func(*plainEvent)) plainEvent {
	e := up
	change(&e)
	return e
}

func TestDecodeValid(t *testing.T) {
	for _, c := range []validCase{
		{`{"type":"up","product":"p1","device":"d1","size":120}`, with(func(e *plainEvent) { e.Size = 120 })},
		{`{"size":0,"device":"d1","product":"p1","type":"up"}`, up},
		{" {\t\"type\" : \"up\" , \"product\":\"p1\" ,\r\"device\":  \"d1\" } \r", up},
		{`{"type":"up","product":"p1","device":"d1"}`, up},
		// size: left out, the payload's; not compared with it otherwise
		{
			`{"type":"up","product":"p1","device":"d1","payload":"four"}`, with(func(e *plainEvent) {
				e.Payload, e.Size = "four",
					4
			}),
		},
		{
			`{"type":"up","product":"p1","device":"d1","payload":"four","size":9}`,
			with(func(e *plainEvent) { e.Payload, e.Size = "four", 9 }),
		},
		{`{"type":"up","product":"p1","device":"d1","size":null,"payload":""}`, up},
		{`{"type":"up","product":"p1","device":"d1","size":2147483647}`, with(func(e *plainEvent) { e.Size = 1<<31 - 1 })},
		{
			`{"type":"ota","product":"p1","device":"d1","size":1099511627776,"id":"o:1"}`,
			with(func(e *plainEvent) { e.Type, e.Size, e.ID = event.OTA, 1<<40, "o:1" }),
		},
		{`{"type":"ota","product":"p1","device":"d1","size":1}`, with(func(e *plainEvent) { e.Type, e.Size = event.OTA, 1 })},
		{
			`{"type":"ota_void","product":"p1","device":"d1","id":"o"}`, with(func(e *plainEvent) {
				e.Type, e.ID = event.OTAVoid,
					"o"
			}),
		},
		// a number is what it is worth, however it is written
		{`{"type":"up","product":"p1","device":"d1","size":120.0}`, with(func(e *plainEvent) { e.Size = 120 })},
		{`{"type":"up","product":"p1","device":"d1","size":1e3}`, with(func(e *plainEvent) { e.Size = 1000 })},
		{`{"type":"up","product":"p1","device":"d1","size": 12E+1 }`, with(func(e *plainEvent) { e.Size = 120 })},
		{`{"type":"up","product":"p1","device":"d1","size":1200e-1}`, with(func(e *plainEvent) { e.Size = 120 })},
		{`{"type":"up","product":"p1","device":"d1","size":-0,"payload":"x"}`, with(func(e *plainEvent) { e.Payload = "x" })},
		{`{"type":"up","product":"p1","device":"d1","size":1.5,"size":12e1}`, with(func(e *plainEvent) { e.Size = 120 })},
		{
			`{"type":"up","product":"p1","device":"d1","size":1000000000000000000000e-18}`,
			with(func(e *plainEvent) { e.Size = 1000 }),
		},
		{
			`{"type":"ota","product":"p1","device":"d1","size":1e12}`, with(func(e *plainEvent) {
				e.Type, e.Size = event.OTA,
					1_000_000_000_000
			}),
		},
		{`{"type":"connect","product":"p1","device":"d1"}`, with(func(e *plainEvent) { e.Type = event.Connect })},
		{`{"type":"disconnect","product":"p1","device":"d1"}`, with(func(e *plainEvent) { e.Type = event.Disconnect })},
		{`{"type":"down","product":"p1","device":"d1"}`, with(func(e *plainEvent) { e.Type = event.Down })},
		// what a type does not take is ignored, whatever it holds
		{
			`{"type":"connect","product":"p1","device":"d1","size":-1,"id":{}}`,
			with(func(e *plainEvent) { e.Type = event.Connect }),
		},
		{
			`{"type":"connect","product":"p1","device":"d1","size":7,"id":"x"}`,
			with(func(e *plainEvent) { e.Type = event.Connect }),
		},
		{`{"type":"up","product":"p1","device":"d1","id":"not a name"}`, up},
		{
			`{"type":"ota_void","product":"p1","device":"d1","id":"o","size":"x"}`,
			with(func(e *plainEvent) { e.Type, e.ID = event.OTAVoid, "o" }),
		},
		// payload and topic belong to every type
		{
			`{"type":"connect","product":"p1","device":"d1","topic":"t","payload":"x"}`,
			with(func(e *plainEvent) { e.Type, e.Topic, e.Payload = event.Connect, "t", "x" }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","payload_base64":"AP+/","payload":null}`,
			with(func(e *plainEvent) { e.Payload, e.Size = "\x00\xff\xbf", 3 }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","payload_base64":"AP\u002b\/"}`,
			with(func(e *plainEvent) { e.Payload, e.Size = "\x00\xff\xbf", 3 }),
		},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":""}`, up},
		{
			`{"type":"up","product":"p1","device":"d1","payload_base64":"QQ=="}`,
			with(func(e *plainEvent) { e.Payload, e.Size = "A", 1 }),
		},
	} {
		c.check(t)
	}
}

func TestDecodeText(t *testing.T) {
	long := strings.Repeat("é", event.PayloadBytesMax/2)
	for _, c := range []validCase{
		{
			`{"type":"up","product":"p1","device":"d1","payload":"` + long + `"}`,
			with(func(e *plainEvent) { e.Payload, e.Size = long, event.PayloadBytesMax }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","payload":"\u0000` + strings.Repeat(`\n`, event.PayloadBytesMax-1) + `"}`,
			with(func(e *plainEvent) {
				e.Payload, e.Size = "\x00"+strings.Repeat("\n", event.PayloadBytesMax-1), event.PayloadBytesMax
			}),
		},
		{
			`{"type":"up","product":"p1","device":"d1","topic":"` + long[:event.TopicBytesMax] + `"}`,
			with(func(e *plainEvent) { e.Topic = long[:event.TopicBytesMax] }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","topic":"\u00e9` + strings.Repeat("a", event.TopicBytesMax-2) + `"}`,
			with(func(e *plainEvent) { e.Topic = "é" + strings.Repeat("a", event.TopicBytesMax-2) }),
		},
		// escapes, in every member and in keys
		{`{"\u0074ype":"\u0075p","produc\u0074":"p\u0031","device":"\u0064\u0031"}`, up},
		{`{"type":"up","product":"p1","device":"d1","payload":"\"\\\/\b\f\n` +
			`\r\t\u00e9\u6e29\ud83d\ude00\ud83dx\ude00\ud83d\ud83d\ude00"}`, with(func(e *plainEvent) {
			e.Payload = "\"\\/\b\f\n\r\té温😀\ufffdx\ufffd\ufffd😀"
			e.Size = int64(len(e.Payload))
		})},
		{
			`{"type":"up","product":"p1","device":"d1","payload":"温度","topic":"\\"}`,
			with(func(e *plainEvent) { e.Payload, e.Size, e.Topic = "温度", 6, `\` }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","time":"2026-11-23T18:12:43.5Z"}`,
			with(func(e *plainEvent) { e.TimeMs = 1795457563500 }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","time":"2026-11-23T18:12:43.5\u005A"}`,
			with(func(e *plainEvent) { e.TimeMs = 1795457563500 }),
		},
		// the last of equal keys holds; null is as if it were not there
		{
			`{"type":"nonsense","type":"up","product":7,"product":"p1","device":"d1","size":-1,"size":5}`,
			with(func(e *plainEvent) { e.Size = 5 }),
		},
		{
			`{"type":"up","product":"p1","device":"d1","topic":"t","topic":null,"time":null,"id":null,"payload":"x",` +
				`"payload":null,"size":4,"size":null}`, up,
		},
		{`{"type":"up","product":"p1","device":"d1","topic":7,"topic":null,"payload_base64":"!","payload_base64":null}`, up},
		// other members, of any kind
		{
			`{"type":"up","":0,"Type":1,"types":2,"product":"p1","a":[{},[],{"b":[1,-0.5e+3,true,false,null,"\\"]}],` +
				`"device":"d1","\ud800":1E9}`, up,
		},
		{
			`{"type":"up","product":"p1","device":"d1","a":` + strings.Repeat("[", jsonDepthMax) + strings.Repeat("]",
				jsonDepthMax) + `}`, up,
		},
		{
			`{"type":"up","product":"` + strings.Repeat("p", 64) + `","device":"A-z0.9_:"}`,
			with(func(e *plainEvent) { e.Product, e.Device = strings.Repeat("p", 64), "A-z0.9_:" }),
		},
	} {
		c.check(t)
	}
}

// faultCase is a text and the fault that it has as an event.
type faultCase struct {
	in   string
	want event.Fault
}

func (c faultCase) check(t *testing.T) {
	t.Helper()
	got := decodeOne(t, c.in)
	if got.Fault != c.want {
		t.Errorf("%.200s: fault %d (%s), want %d (%s)", c.in, got.Fault, got.Fault.Field(), c.want, c.want.Field())
	}
	kept := plainEvent{Type: got.Type, Fault: got.Fault}
	if got.Fault == event.FaultPayloadTooLarge { // The log must know whose it was (R18).
		kept.Product, kept.Device, kept.Topic, kept.TimeMs, kept.Size = got.Product, got.Device, got.Topic, got.TimeMs,
			got.Size
		if got.Product != "p1" || got.Device != "d1" {
			t.Errorf("%.200s: of %q and %q", c.in, got.Product, got.Device)
		}
	}
	if got != kept {
		t.Errorf("%.200s: a refused event keeps %.200s", c.in, fmt.Sprintf("%+v", got))
	}
}

func TestDecodeFaults(t *testing.T) {
	for _, c := range []faultCase{
		{`7`, event.FaultNotObject},
		{`"up"`, event.FaultNotObject},
		{`null`, event.FaultNotObject},
		{`[{"type":"up","product":"p1","device":"d1"}]`, event.FaultNotObject},
		{`{}`, event.FaultTypeMissing},
		{`{"type":null,"product":"p1","device":"d1"}`, event.FaultTypeMissing},
		{`{"type":"up","type":null,"product":"p1","device":"d1"}`, event.FaultTypeMissing},
		{`{"type":"Up","product":"p1","device":"d1"}`, event.FaultType},
		{`{"type":"","product":"p1","device":"d1"}`, event.FaultType},
		{`{"type":3,"product":"p1","device":"d1"}`, event.FaultType},
		{`{"type":["up"],"product":"p1","device":"d1"}`, event.FaultType},
		{`{"type":"up","device":"d1"}`, event.FaultProductMissing},
		{`{"type":"up","product":null,"device":"d1"}`, event.FaultProductMissing},
		{`{"type":"up","product":"","device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":"p 1","device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":"p/1","device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":"p\u002f1","device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":1,"device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":"p1","product":{},"device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":"` + strings.Repeat("p", 65) + `","device":"d1"}`, event.FaultProduct},
		{`{"type":"up","product":"p1"}`, event.FaultDeviceMissing},
		{`{"type":"connect","product":"p1","device":true}`, event.FaultDevice},
		{`{"type":"up","product":"p1","device":"温"}`, event.FaultDevice},
		{`{"type":"up","product":"p1","device":"d1","size":-1}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":1.5}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":1e-1}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":1e400}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":-1.0}`, event.FaultSize},
		{`{"type":"down","product":"p1","device":"d1","size":2.147483648e9}`, event.FaultSize},
		{`{"type":"ota","product":"p1","device":"d1","size":1.1e12}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":12e1,"size":1.5}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":"120"}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":[]}`, event.FaultSize},
		{`{"type":"up","product":"p1","device":"d1","size":2147483648}`, event.FaultSize},
		{`{"type":"down","product":"p1","device":"d1","size":18446744073709551617}`, event.FaultSize},
		{`{"type":"ota","product":"p1","device":"d1","size":1099511627777}`, event.FaultSize},
		{`{"type":"ota","product":"p1","device":"d1"}`, event.FaultSizeMissing},
		{`{"type":"ota","product":"p1","device":"d1","size":null,"payload":"x"}`, event.FaultSizeMissing},
		{`{"type":"ota","product":"p1","device":"d1","size":1,"id":""}`, event.FaultID},
		{`{"type":"ota","product":"p1","device":"d1","size":1,"id":5}`, event.FaultID},
		{`{"type":"ota_void","product":"p1","device":"d1","id":"a b"}`, event.FaultID},
		{`{"type":"ota_void","product":"p1","device":"d1"}`, event.FaultIDMissing},
	} {
		c.check(t)
	}
}

func TestDecodeFaultsOfText(t *testing.T) {
	big := strings.Repeat("a", event.PayloadBytesMax+1)
	big64 := base64.StdEncoding.EncodeToString([]byte(big))
	for _, c := range []faultCase{
		{`{"type":"up","product":"p1","device":"d1","topic":1}`, event.FaultTopic},
		{`{"type":"up","product":"p1","device":"d1","topic":"` + strings.Repeat("t", 257) + `"}`, event.FaultTopic},
		{`{"type":"up","product":"p1","device":"d1","topic":"` + strings.Repeat(`\t`, 257) + `"}`, event.FaultTopic},
		{`{"type":"up","product":"p1","device":"d1","payload":{"t":1}}`, event.FaultPayload},
		{`{"type":"up","product":"p1","device":"d1","payload":"` + big + `"}`, event.FaultPayloadTooLarge},
		{`{"type":"up","product":"p1","device":"d1","payload":"\u0061` + big[1:] + `"}`, event.FaultPayloadTooLarge},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"` + big64 + `"}`, event.FaultPayloadTooLarge},
		{
			`{"time":"2026-11-23T10:00:00Z","topic":"t","type":"up","product":"p1","device":"d1","payload":"` + big + `"}`,
			event.FaultPayloadTooLarge,
		},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":1}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"QQ"}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"Q==="}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"===="}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"AP-_"}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"QU\n\n\n\nFB"}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"QU\r\r\r\rFB"}`, event.FaultPayloadBase64},
		{`{"type":"up","product":"p1","device":"d1","payload":"","payload_base64":""}`, event.FaultPayloadTwice},
		{`{"type":"up","product":"p1","device":"d1","payload":1,"payload_base64":2}`, event.FaultPayloadTwice},
		{`{"type":"up","product":"p1","device":"d1","time":1795457563}`, event.FaultTime},
		{`{"type":"up","product":"p1","device":"d1","time":""}`, event.FaultTime},
		{`{"type":"up","product":"p1","device":"d1","time":"2026-02-29T00:00:00Z"}`, event.FaultTime},
		{`{"type":"up","product":"p1","device":"d1","time":"\t2026-02-28T00:00:00Z"}`, event.FaultTime},
		{`{"type":"up","product":"p1","device":"d1","time":"9999-12-31T23:59:59-00:01"}`, event.FaultTime},
		{`{"type":"up","product":"p1","device":"d1","time":"0000-01-01T00:00:00+00:01"}`, event.FaultTime},
	} {
		c.check(t)
	}
}

// TestDecodeFaultOrder takes an event that is wrong in everything and mends it member by member.
func TestDecodeFaultOrder(t *testing.T) {
	values := []struct{ key, ill, good string }{
		{"time", `0`, `"2026-11-23T18:12:43Z"`},
		{"payload", `0`, `"x"`},
		{"topic", `0`, `"t"`},
		{"id", `0`, `"o"`},
		{"size", `"x"`, `1`},
		{"device", `0`, `"d"`},
		{"product", `0`, `"p"`},
		{"type", `0`, `"ota"`},
	}
	order := []event.Fault{
		event.FaultType,
		event.FaultProduct,
		event.FaultDevice,
		event.FaultSize,
		event.FaultID,
		event.FaultTopic,
		event.FaultPayload,
		event.FaultTime,
		event.FaultNone,
	}
	for mended, want := range order {
		var members []string
		for i, v := range values {
			value := v.ill
			if i >= len(values)-mended {
				value = v.good
			}
			members = append(members, fmt.Sprintf("%q:%s", v.key, value))
		}
		got := decodeOne(t, "{"+strings.Join(members, ",")+"}")
		if got.Fault != want {
			t.Errorf("%d members mended: fault %d, want %d", mended, got.Fault, want)
		}
		wantType := event.OTA
		if mended == 0 {
			wantType = 0
		}
		if got.Type != wantType {
			t.Errorf("%d members mended: type %d, want %d", mended, got.Type, wantType)
		}
	}
}

func TestDecodeNDJSONLines(t *testing.T) {
	for _, c := range []struct {
		in     string
		events int
	}{
		{goodLine, 1},
		{goodLine + "\n", 1},
		{goodLine + "\r\n" + goodLine + "\r\n", 2},
		{"\n\r\n \t\n" + goodLine + " \t\n\n\n" + goodLine + "\n \n", 2},
		{"1\n" + goodLine + "\n[]\n", 3},
		{strings.Repeat("1\n", event.EventsMax), event.EventsMax},
	} {
		var b event.Batch
		if p := DecodeNDJSON(&b, []byte(c.in)); p != nil || len(b.Events) != c.events {
			t.Errorf("%.100q: %d events, %v; want %d", c.in, len(b.Events), p, c.events)
		}
	}
}

func TestDecodeJSONShapes(t *testing.T) {
	for _, c := range []struct {
		in     string
		single bool
		events int
	}{
		{goodLine, true, 1},
		{"\r\n\t " + goodLine + "\n", true, 1},
		{"{\n\"type\"\n:\n\"up\"\n}", true, 1},
		{`"up"`, true, 1},
		{`null`, true, 1},
		{`[]`, false, 0},
		{" [\n]\n", false, 0},
		{"[" + goodLine + "]", false, 1},
		{"[\n" + goodLine + "\n,\n7 , [ [ ] ],{ }\n]\n", false, 4},
		{"[" + strings.Repeat("1,", event.EventsMax-1) + "1]", false, event.EventsMax},
	} {
		var b event.Batch
		single, p := DecodeJSON(&b, []byte(c.in))
		if p != nil || single != c.single || len(b.Events) != c.events {
			t.Errorf("%.100q: single %v, %d events, %v; want %v, %d", c.in, single, len(b.Events), p, c.single, c.events)
		}
	}
}

// TestDecodeReuse decodes bodies of all kinds into one Batch; none may see what the others left, and none may change
// what it was lent.
func TestDecodeReuse(t *testing.T) {
	var b event.Batch
	for range 3 {
		for _, c := range benchBodies() {
			lent := slices.Grow(slices.Clone(c.body), 64)
			behind := lent[len(lent):cap(lent)]
			copy(behind, bytes.Repeat([]byte{'x'}, len(behind)))
			if p := c.decode(&b, lent); p != nil {
				t.Fatalf("%s: %v", c.name, p)
			}
			var fresh event.Batch
			if p := c.decode(&fresh, c.body); p != nil {
				t.Fatalf("%s: %v", c.name, p)
			}
			if !slices.Equal(resolve(t, &b), resolve(t, &fresh)) {
				t.Errorf("%s: a used batch decodes otherwise than a fresh one", c.name)
			}
			b.Append([]byte("more"))
			if !bytes.Equal(lent, c.body) || bytes.Count(behind, []byte{'x'}) != len(behind) {
				t.Errorf("%s: the body, or what is behind it, was written to", c.name)
			}
		}
	}
}

func TestDecodeAllocs(t *testing.T) {
	for _, c := range benchBodies() {
		var b event.Batch
		if n := testing.AllocsPerRun(5, func() { // its first run, which is not counted, warms b
			b.Reset()
			if p := c.decode(&b, c.body); p != nil {
				t.Fatal(p)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a batch", c.name, n)
		}
		for i := range b.Events {
			if b.Events[i].Fault != event.FaultNone {
				t.Fatalf("%s: event %d has fault %d", c.name, i, b.Events[i].Fault)
			}
		}
	}
}
