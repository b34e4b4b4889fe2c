package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
)

// protoEvent is an event as a sender means it, in a protobuf batch or in JSON.
type protoEvent struct {
	typ                        uint64
	product, device, topic, id string
	payload                    []byte
	size                       uint64
	timeMs                     int64
}

// protoPart is one field of an encoded batch, or a piece of one.
type protoPart struct {
	number protowire.Number
	bytes  []byte
}

// layout says how a batch is written: there are many ways that mean the same.
type layout struct {
	indexed, split, unpacked bool
	omitEmpty                bool // columns and tables that hold only zeros
}

// encode writes events as a meterd.v1.Batch by the official wire codec.
func (l layout) encode(events []protoEvent) []protoPart {
	var parts []protoPart
	numbers := func(number protowire.Number, of func(protoEvent) uint64) {
		values := make([]uint64, len(events))
		for i, e := range events {
			values[i] = of(e)
		}
		l.numbers(&parts, number, values)
	}
	table := func(entries, indexes protowire.Number, of func(protoEvent) string) {
		texts := make([]string, len(events))
		for i, e := range events {
			texts[i] = of(e)
		}
		l.table(&parts, entries, indexes, texts)
	}
	table(pbProducts, pbProductIndexes, func(e protoEvent) string { return e.product })
	table(pbDevices, pbDeviceIndexes, func(e protoEvent) string { return e.device })
	table(pbTopics, pbTopicIndexes, func(e protoEvent) string { return e.topic })
	types := l
	types.omitEmpty = false
	types.numbers(&parts, pbTypes, typesOf(events))
	numbers(pbSizes, func(e protoEvent) uint64 { return e.size })
	numbers(pbTimes, func(e protoEvent) uint64 { return protowire.EncodeZigZag(e.timeMs) })
	if !l.omitEmpty || slices.ContainsFunc(events, func(e protoEvent) bool { return e.id != "" }) {
		for _, e := range events {
			parts = append(
				parts,
				protoPart{pbIDs, protowire.AppendString(protowire.AppendTag(nil, pbIDs, protowire.BytesType), e.id)},
			)
		}
	}
	if !l.omitEmpty || slices.ContainsFunc(events, func(e protoEvent) bool { return len(e.payload) > 0 }) {
		for _, e := range events {
			parts = append(
				parts,
				protoPart{pbPayloads, protowire.AppendBytes(protowire.AppendTag(nil, pbPayloads, protowire.BytesType), e.payload)},
			)
		}
	}
	return parts
}

func typesOf(events []protoEvent) []uint64 {
	list := make([]uint64, len(events))
	for i, e := range events {
		list[i] = e.typ
	}
	return list
}

func (l layout) numbers(parts *[]protoPart, number protowire.Number, values []uint64) {
	if l.omitEmpty && !slices.ContainsFunc(values, func(v uint64) bool { return v != 0 }) {
		return
	}
	if l.unpacked {
		for _, v := range values {
			*parts = append(
				*parts,
				protoPart{number, protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)},
			)
		}
		return
	}
	cut := len(values)
	if l.split {
		cut = len(values) / 2
	}
	for _, piece := range [][]uint64{values[:cut], values[cut:]} {
		var packed []byte
		for _, v := range piece {
			packed = protowire.AppendVarint(packed, v)
		}
		if len(packed) > 0 {
			*parts = append(
				*parts,
				protoPart{number, protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), packed)},
			)
		}
	}
}

// table writes a string for each event: once for all, one each, or by indexes.
func (l layout) table(parts *[]protoPart, entries, indexes protowire.Number, texts []string) {
	put := func(s string) {
		*parts = append(
			*parts,
			protoPart{entries, protowire.AppendString(protowire.AppendTag(nil, entries, protowire.BytesType), s)},
		)
	}
	same := !slices.ContainsFunc(texts, func(s string) bool { return s != texts[0] })
	switch {
	case l.omitEmpty && same && texts[0] == "":
	case !l.indexed && same:
		put(texts[0])
	case !l.indexed:
		for _, s := range texts {
			put(s)
		}
	default:
		place := map[string]uint64{}
		var values []uint64
		put("never-used")
		for _, s := range texts {
			if _, ok := place[s]; !ok {
				place[s] = uint64(len(place) + 1)
				put(s)
			}
			values = append(values, place[s])
		}
		all := l
		all.omitEmpty = false
		all.numbers(parts, indexes, values)
	}
}

// join puts parts together in the order of their numbers, or rotated by so many fields, which says the same.
func join(parts []protoPart, rotate int) (body []byte) {
	order := func(p protoPart) int { return (int(p.number) + rotate) % pbFields }
	slices.SortStableFunc(parts, func(a, b protoPart) int { return order(a) - order(b) })
	for _, p := range parts {
		body = append(body, p.bytes...)
	}
	return body
}

// asJSON is the event as a line of NDJSON that means the same.
func (e protoEvent) asJSON() []byte {
	m := map[string]any{}
	set := func(key, value string) {
		if value != "" {
			m[key] = value
		}
	}
	if e.typ != 0 {
		m["type"] = "unknown"
		if e.typ < event.Types {
			m["type"] = event.Type(e.typ).String()
		}
	}
	set("product", e.product)
	set("device", e.device)
	set("topic", e.topic)
	set("id", e.id)
	if len(e.payload) > 0 {
		m["payload_base64"] = base64.StdEncoding.EncodeToString(e.payload)
	}
	if e.size != 0 {
		m["size"] = e.size
	}
	if e.timeMs != 0 {
		m["time"] = json.RawMessage(event.AppendTime(nil, e.timeMs))
	}
	line, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return line
}

func drawProtoEvent(t *rapid.T) protoEvent {
	name := rapid.SampledFrom(
		[]string{"", "p1", "d-1", "gw:9", "x y", "ü", strings.Repeat("n", 64), strings.Repeat("n", 65)},
	)
	e := protoEvent{
		typ:     rapid.SampledFrom([]uint64{0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 255, 256, 1 << 40}).Draw(t, "type"),
		product: rapid.OneOf(rapid.Just("p1"), name).Draw(t, "product"),
		device:  rapid.OneOf(rapid.Just("d1"), name).Draw(t, "device"),
		topic: rapid.SampledFrom([]string{"", "", "t/1", "温度", strings.Repeat("t", 256), strings.Repeat("t", 257)}).
			Draw(t, "topic"),
		id: rapid.OneOf(rapid.Just(""), rapid.Just("u1"), name).Draw(t, "id"),
		size: rapid.SampledFrom([]uint64{0, 1, 120, 1<<31 - 1, 1 << 31, 1 << 40, 1<<40 + 1, 1 << 62, 1<<64 - 1}).
			Draw(t, "size"),
		payload: rapid.SampledFrom([][]byte{
			nil, nil, []byte("21.5 C"),
			{0, 255, 10},
			make([]byte, event.PayloadBytesMax),
			make([]byte, event.PayloadBytesMax+1),
		}).
			Draw(t, "payload"),
		timeMs: rapid.SampledFrom([]int64{0, 0, 1_700_000_000_123, -1, -62_000_000_000_000}).Draw(t, "time"),
	}
	if e.size == 0 && (e.typ == 3 || e.typ == 4) && len(e.payload) == 0 {
		e.size = 7
	}
	return e
}

// An event means the same whether it comes in protobuf, in any of the ways that it can be laid out, or in JSON.
func TestProtobufMeansWhatJSONMeans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(drawProtoEvent), 1, 6).Draw(rt, "events")
		l := layout{
			indexed: rapid.Bool().Draw(rt, "indexed"), split: rapid.Bool().Draw(rt, "split"),
			unpacked: rapid.Bool().Draw(rt, "unpacked"), omitEmpty: rapid.Bool().Draw(rt, "omit"),
		}
		body := join(l.encode(events), rapid.IntRange(0, pbFields).Draw(rt, "rotate"))
		var lines [][]byte
		for _, e := range events {
			lines = append(lines, e.asJSON())
		}
		var got, want event.Batch
		if p := DecodeProtobuf(&got, body); p != nil {
			rt.Fatalf("%x: %v", body, p)
		}
		if p := DecodeNDJSON(&want, asNDJSON(lines)); p != nil {
			rt.Fatalf("%s: %v", asNDJSON(lines), p)
		}
		if g, w := resolve(t, &got), resolve(t, &want); !slices.Equal(g, w) {
			rt.Fatalf("%s\n%+v\nas protobuf, in JSON\n%+v", asNDJSON(lines), g, w)
		}
	})
}

func part(number protowire.Number, texts ...string) (b []byte) {
	for _, s := range texts {
		b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
	}
	return b
}

func TestProtobufRefused(t *testing.T) {
	up := part(pbTypes, "\x03")
	two := part(pbTypes, "\x03\x03")
	devices := func(n int) (b []byte) {
		for range n {
			b = append(b, part(pbDevices, "d")...)
		}
		return b
	}
	for name, c := range map[string]struct {
		body   []byte
		code   event.Code
		detail string
	}{
		"empty":      {nil, event.BadRequest, "holds no event"},
		"no types":   {part(pbProducts, "p1"), event.BadRequest, "holds no event"},
		"cut key":    {append(slices.Clone(up), 0x80), event.BadRequest, "expected a field"},
		"field 0":    {[]byte{0x02, 0}, event.BadRequest, "expected a field"},
		"cut string": {append(slices.Clone(up), 0x0a, 5, 'p'), event.BadRequest, "products: it is cut off"},
		"cut column": {[]byte{0x1a, 2, 3}, event.BadRequest, "types: it is cut off"},
		"cut number": {
			append(slices.Clone(up), 0x22, 1, 0x80), event.BadRequest, "sizes: its last number is cut off",
		},
		"long number": {
			append(append(slices.Clone(up), 0x22, 11), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"...), event.BadRequest,
			"sizes: a number is too long",
		},
		"string for column": {part(pbTypes, ""), event.BadRequest, "holds no event"},
		"number for string": {
			append(slices.Clone(up), 0x08, 1), event.BadRequest, "products: it is a string, not of wire type 0",
		},
		"fixed for column": {
			append(slices.Clone(up), 0x21, 1, 2, 3, 4, 5, 6, 7, 8), event.BadRequest,
			"sizes: it is a number, not of wire type 1",
		},
		"group": {append(slices.Clone(up), 0xa3, 0x06, 0xa4, 0x06), event.BadRequest, "no field of proto3"},
		"not UTF-8": {
			append(slices.Clone(up), part(pbDevices, "a", "\xff")...), event.BadRequest, "devices: entry 1 is not UTF-8",
		},
		"topic not UTF-8": {
			append(slices.Clone(up), part(pbTopics, "\xff")...), event.BadRequest, "topics: entry 0 is not UTF-8",
		},
		"short column": {
			append(slices.Clone(two), part(pbSizes, "\x01")...), event.BadRequest, "sizes: there are 1 for 2 types",
		},
		"long column": {
			append(slices.Clone(up), part(pbIDs, "a", "b")...), event.BadRequest, "ids: there are 2 for 1 types",
		},
		"short table": {
			append(slices.Clone(part(pbTypes, "\x03\x03\x03")), part(pbDevices, "a", "b")...), event.BadRequest,
			"devices: there are 2 for 3 types, and no device_indexes",
		},
		"long table": {
			append(slices.Clone(up), part(pbDevices, "a", "b")...), event.BadRequest, "devices: there are 2 for 1 types",
		},
		"index behind table": {
			append(append(slices.Clone(up), part(pbDevices, "a")...), part(pbDeviceIndexes, "\x01")...), event.BadRequest,
			"device_indexes: entry 0 refers to none of devices",
		},
		"index without table": {
			append(slices.Clone(up), part(pbTopicIndexes, "\x00")...), event.BadRequest,
			"topic_indexes: entry 0 refers to none of topics",
		},
		"too many": {
			part(pbTypes, strings.Repeat("\x03", event.EventsMax+1)), event.BodyTooLarge, "at most 65536",
		},
		"too many in parts": {
			append(part(pbTypes, strings.Repeat("\x03", event.EventsMax)), up...), event.BodyTooLarge, "at most 65536",
		},
		"too many entries":     {append(devices(event.EventsMax+1), up...), event.BodyTooLarge, "at most 65536"},
		"a line of NDJSON":     {[]byte(`{"type":"up","product":"p1","device":"d1"}`), event.BadRequest, ""},
		"too large for a body": {make([]byte, event.BodyBytesMax+1), event.BodyTooLarge, "67108865 bytes"},
	} {
		var b event.Batch
		p := DecodeProtobuf(&b, c.body)
		if p == nil || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: %+v, want %s with %q", name, p, c.code, c.detail)
		}
	}
}

// Fields that a later version may add are passed over, whatever they hold.
func TestProtobufUnknownFields(t *testing.T) {
	body := slices.Concat(
		protowire.AppendVarint(protowire.AppendTag(nil, 12, protowire.VarintType), 1<<60),
		part(pbProducts, "p1"),
		protowire.AppendFixed64(protowire.AppendTag(nil, 100, protowire.Fixed64Type), 1),
		part(pbDevices, "d1"),
		protowire.AppendFixed32(
			protowire.AppendTag(nil, 1<<28, protowire.Fixed32Type),
			1,
		),
		part(pbTypes, "\x03"),
		part(99, "more"),
		part(pbSizes, "\x78"),
	)
	var b event.Batch
	if p := DecodeProtobuf(&b, body); p != nil {
		t.Fatal(p)
	}
	if got := resolve(t, &b); len(got) != 1 || got[0] != with(func(e *plainEvent) { e.Size = 120 }) {
		t.Fatalf("%+v", got)
	}
}

// protoBodies are bodies of benchEvents events, for speed and allocations.
func protoBodies() map[string][]byte {
	bodies := map[string][]byte{}
	for name, change := range map[string]func(i int, e *protoEvent){
		"plain":        func(int, *protoEvent) {},
		"payload=64B":  func(_ int, e *protoEvent) { e.payload = make([]byte, 64) },
		"payload=1KiB": func(_ int, e *protoEvent) { e.payload = make([]byte, 1024) },
		"hot-device":   func(_ int, e *protoEvent) { e.device = "dev-0000001" },
		"every-member": func(i int, e *protoEvent) { e.topic, e.timeMs, e.id = "t/1", 1_700_000_000_123+int64(i), "x" },
	} {
		events := make([]protoEvent, benchEvents)
		for i := range events {
			events[i] = protoEvent{
				typ:     3 + uint64(i)%2,
				product: "p1",
				device:  fmt.Sprintf("dev-%07d", i*7919%1_000_000),
				size:    uint64(100 + i%500),
			}
			change(i, &events[i])
		}
		bodies[name] = join(layout{omitEmpty: true}.encode(events), 0)
	}
	return bodies
}

func TestProtobufAllocatesNothing(t *testing.T) {
	for name, body := range protoBodies() {
		var b event.Batch
		if p := DecodeProtobuf(&b, body); p != nil {
			t.Fatal(p)
		}
		if n := testing.AllocsPerRun(10, func() { _ = DecodeProtobuf(&b, body) }); n != 0 {
			t.Errorf("%s: %v allocations a batch", name, n)
		}
	}
}

func BenchmarkDecodeProtobuf(b *testing.B) {
	for name, body := range protoBodies() {
		b.Run(name, func(b *testing.B) {
			var batch event.Batch
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if p := DecodeProtobuf(&batch, body); p != nil {
					b.Fatal(p)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
			b.ReportMetric(float64(len(body))/benchEvents, "B/event")
		})
	}
}

// FuzzDecodeProtobuf: no body makes the decoder panic or read behind it, and every event of an accepted one is a valid
// event or a fault.
func FuzzDecodeProtobuf(f *testing.F) {
	for _, body := range protoBodies() {
		f.Add(body[:min(len(body), 200)])
	}
	f.Add(
		slices.Concat(
			part(pbProducts, "p1"),
			part(pbDevices, "d1", "d2"),
			part(pbTypes, "\x03\x05"),
			part(pbSizes, "\x78\x80\x01"),
			part(pbDeviceIndexes, "\x01\x00"),
			part(pbIDs, "", "u1"),
		),
	)
	f.Fuzz(func(t *testing.T, body []byte) {
		var b event.Batch
		if p := DecodeProtobuf(&b, body); p != nil {
			if p.Detail == "" || p.Code != event.BadRequest && p.Code != event.BodyTooLarge {
				t.Fatalf("%+v", p)
			}
			return
		}
		if len(b.Events) == 0 || len(b.Events) > event.EventsMax {
			t.Fatalf("%d events", len(b.Events))
		}
		for _, e := range resolve(t, &b) {
			if e.Fault == event.FaultNone &&
				(e.Type.String() == "" || !event.ValidName([]byte(e.Product)) || !event.ValidName([]byte(e.Device)) ||
					e.Size < 0 || e.Size > event.OTABytesMax) {
				t.Fatalf("%+v has no fault", e)
			}
		}
	})
}
