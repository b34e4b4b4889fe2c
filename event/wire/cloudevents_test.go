package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// cloudHead is what a CloudEvent has before its data.
const cloudHead = `{"specversion":"1.0","type":"io.meterd.up","source":"/gw","id":"1 2","subject":"p1/d1"`

// decodeCloudBothWays decodes s alone and as the second one in an array, which must come to the same.
func decodeCloudBothWays(t *testing.T, s string) plainEvent {
	t.Helper()
	var one, array event.Batch
	if p := DecodeCloudEvent(&one, []byte(s)); p != nil {
		t.Fatalf("%s: %v", s, p)
	}
	if p := DecodeCloudEvents(&array, []byte("["+cloudHead+"},"+s+"]")); p != nil {
		t.Fatalf("[%s]: %v", s, p)
	}
	got, both := resolve(t, &one), resolve(t, &array)
	if len(got) != 1 || !slices.Equal(both, []plainEvent{up, got[0]}) {
		t.Fatalf("%s: %+v alone, %+v in an array", s, got, both)
	}
	return got[0]
}

func checkCloud(t *testing.T, cases []validCase) {
	t.Helper()
	for _, c := range cases {
		if got := decodeCloudBothWays(t, c.in); got != c.want {
			t.Errorf("%.200s:\ngot  %.300s\nwant %.300s", c.in, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want))
		}
	}
}

func TestDecodeCloudValid(t *testing.T) {
	typed := func(name string) string { return strings.Replace(cloudHead, "io.meterd.up", "io.meterd."+name, 1) }
	checkCloud(t, []validCase{
		{cloudHead + `}`, up},
		{cloudHead + `,"data":{"size":120}}`, with(func(e *plainEvent) { e.Size = 120 })},
		{
			cloudHead + `,"data":{"payload":"four","topic":"t"}}`,
			with(func(e *plainEvent) { e.Payload, e.Size, e.Topic = "four", 4, "t" }),
		},
		{cloudHead + `,"data":{"payload":"f\u00e9","size":9}}`, with(func(e *plainEvent) { e.Payload, e.Size = "fé", 9 })},
		{
			cloudHead + `,"data":{"payload_base64":"AP+/"}}`,
			with(func(e *plainEvent) { e.Payload, e.Size = "\x00\xff\xbf", 3 }),
		},
		{cloudHead + `,"time":"2026-11-23T18:12:43.5Z"}`, with(func(e *plainEvent) { e.TimeMs = 1795457563500 })},
		{cloudHead + `,"time":null,"data":null,"data_base64":null}`, up},
		// the data before what it belongs to
		{cloudHead + `,"data":{"size":12e1}}`, plainEvent{Type: event.Up, Product: "p1", Device: "d1", Size: 120}},
		{
			` { "data" : { "size" : 5 } , "id" : "x" , "subject" : "p1/d1" , "type" : "io.meterd.up" , ` +
				`"specversion" : "1.0" } ` + "\n",
			with(func(e *plainEvent) { e.Size = 5 }),
		},
		// what else CloudEvents carry, and what no attribute of ours is on its level
		{
			cloudHead + `,"datacontenttype":"application/json","dataschema":"https://example.com/s","partitionkey":"d1","n":7,` +
				`"b":true,"o":{"data":{"size":1}}}`,
			up,
		},
		{
			cloudHead + `,"size":7,"topic":"t","payload":"x","product":"p2","device":{},"data":{"type":"connect",` +
				`"subject":"a/b","id":{},"specversion":2,"time":"x","data":{"size":9}}}`,
			up,
		},
		// escapes, as libraries write them
		{
			`{"specversion":"1\u002e0","type":"io.meterd.\u0075p","\u0073ubject":"p1\/d1","d\u0061ta":{"\u0073ize":3}}`,
			with(func(e *plainEvent) { e.Size = 3 }),
		},
		// the id is that of an OTA, and no other type's
		{
			typed("ota") + `,"id":"o:1","data":{"size":1099511627776}}`,
			with(func(e *plainEvent) { e.Type, e.Size, e.ID = event.OTA, 1<<40, "o:1" }),
		},
		{
			`{"specversion":"1.0","type":"io.meterd.ota","subject":"p1/d1","data":{"size":1}}`,
			with(func(e *plainEvent) { e.Type, e.Size = event.OTA, 1 }),
		},
		{
			`{"specversion":"1.0","type":"io.meterd.ota_void","id":"o","subject":"p1/d1"}`,
			with(func(e *plainEvent) { e.Type, e.ID = event.OTAVoid, "o" }),
		},
		{typed("connect") + `,"data":{"size":-1}}`, with(func(e *plainEvent) { e.Type = event.Connect })},
		{typed("disconnect") + `}`, with(func(e *plainEvent) { e.Type = event.Disconnect })},
		{typed("down") + `,"id":{"a":[1]}}`, with(func(e *plainEvent) { e.Type = event.Down })},
		{cloudHead + `,"id":"` + strings.Repeat("é", 1000) + `"}`, up},
		// the last of equal members holds, data as a whole
		{
			`{"specversion":7,"type":"x","subject":"/","data":7,` + cloudHead[1:] + `,"data":{"size":1,"topic":"a"},` +
				`"data":{"topic":"b","topic":"c"}}`,
			with(func(e *plainEvent) { e.Topic = "c" }),
		},
		{cloudHead + `,"data":{"size":1,"payload":7},"data":null}`, up},
	})
}

func TestDecodeCloudFaults(t *testing.T) {
	long := strings.Repeat("a", 65)
	fault := func(in string, f event.Fault) validCase { return validCase{in, plainEvent{Type: event.Up, Fault: f}} }
	of := func(members string) string { return `{"specversion":"1.0","type":"io.meterd.up",` + members + `}` }
	untyped := func(in string, f event.Fault) validCase { return validCase{in, plainEvent{Fault: f}} }
	checkCloud(t, []validCase{
		fault(`{"type":"io.meterd.up","subject":"p1/d1"}`, event.FaultSpecVersion),
		fault(cloudHead+`,"specversion":"0.3"}`, event.FaultSpecVersion),
		fault(cloudHead+`,"specversion":1.0}`, event.FaultSpecVersion),
		fault(cloudHead+`,"specversion":null}`, event.FaultSpecVersion),
		untyped(`{"specversion":"1.0","subject":"p1/d1"}`, event.FaultTypeMissing),
		untyped(cloudHead+`,"type":null}`, event.FaultTypeMissing),
		untyped(cloudHead+`,"type":"up"}`, event.FaultCloudType),
		untyped(cloudHead+`,"type":"io.meterd.fly"}`, event.FaultCloudType),
		untyped(cloudHead+`,"type":"io.meterd."}`, event.FaultCloudType),
		untyped(cloudHead+`,"type":"IO.meterd.up"}`, event.FaultCloudType),
		untyped(cloudHead+`,"type":{}}`, event.FaultCloudType),
		fault(of(`"id":"1"`), event.FaultSubjectMissing),
		fault(cloudHead+`,"subject":null}`, event.FaultSubjectMissing),
		fault(cloudHead+`,"subject":""}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"p1"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"/d1"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"p1/"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"p1/d1/x"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"p1\\d1"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"p1/d 1"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"`+long+`/d1"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":"p1/`+long+`"}`, event.FaultSubject),
		fault(cloudHead+`,"subject":["p1/d1"]}`, event.FaultSubject),
		fault(cloudHead+`,"data":"{}"}`, event.FaultData),
		fault(cloudHead+`,"data":[{"size":1}]}`, event.FaultData),
		fault(cloudHead+`,"data":0}`, event.FaultData),
		fault(cloudHead+`,"data_base64":"AP+/"}`, event.FaultDataBase64),
		fault(cloudHead+`,"data":{},"data_base64":""}`, event.FaultDataBase64),
		fault(cloudHead+`,"data":{"size":-1}}`, event.FaultSize),
		fault(cloudHead+`,"data":{"size":2147483648}}`, event.FaultSize),
		fault(cloudHead+`,"data":{"size":"1"}}`, event.FaultSize),
		fault(cloudHead+`,"data":{"topic":"`+strings.Repeat("t", event.TopicBytesMax+1)+`"}}`, event.FaultTopic),
		fault(cloudHead+`,"data":{"payload":{}}}`, event.FaultPayload),
		fault(cloudHead+`,"data":{"payload_base64":"="}}`, event.FaultPayloadBase64),
		fault(cloudHead+`,"data":{"payload_base64":"","payload":""}}`, event.FaultPayloadTwice),
		fault(cloudHead+`,"time":"today"}`, event.FaultTime),
		{cloudHead + `,"type":"io.meterd.ota","id":"o"}`, plainEvent{Type: event.OTA, Fault: event.FaultSizeMissing}},
		{cloudHead + `,"type":"io.meterd.ota","data":{"size":1}}`, plainEvent{Type: event.OTA, Fault: event.FaultID}},
		{cloudHead + `,"type":"io.meterd.ota_void","id":null}`, plainEvent{Type: event.OTAVoid, Fault: event.FaultIDMissing}},
		{
			cloudHead + `,"data":{"payload":"` + strings.Repeat("x", event.PayloadBytesMax+1) + `"}}`,
			plainEvent{
				Type:    event.Up,
				Product: "p1",
				Device:  "d1",
				Size:    event.PayloadBytesMax + 1,
				Fault:   event.FaultPayloadTooLarge,
			},
		},
		untyped(`7`, event.FaultNotObject),
		untyped(`[`+cloudHead+`}]`, event.FaultNotObject),
		untyped(`null`, event.FaultNotObject),
	})
}

// What is said of a body that is refused: the member where it broke, as far as it is one of ours.
func TestDecodeCloudRefused(t *testing.T) {
	one, array := DecodeCloudEvent, DecodeCloudEvents
	for in, c := range map[string]struct {
		decode        func(*event.Batch, []byte) *event.Problem
		code          event.Code
		field, detail string
	}{
		"":    {one, event.BadRequest, "", "the body holds no event"},
		" \n": {array, event.BadRequest, "", "the body holds no event"},
		`{} {}`: {
			one, event.BadRequest, "", "line 1, byte 4: expected the end of the body, found {",
		},
		"[]\n]": {
			array, event.BadRequest, "", "line 2, byte 1: expected the end of the body, found ]",
		},
		`{}`: {
			array, event.BadRequest, "", "line 1, byte 1: expected an array of events, found {",
		},
		`[{}`: {
			array, event.BadRequest, "", "line 1, byte 4: expected a comma or the end of the array, found the end of the body",
		},
		`{1:2}`: {
			one, event.BadRequest, "", "line 1, byte 2: expected a member's name in quotes, found 1",
		},
		`{"a":1,}`: {
			one, event.BadRequest, "", "line 1, byte 8: expected a member's name in quotes, found }",
		},
		`{"data" {}}`: {one, event.BadRequest, "", "line 1, byte 9: expected a colon, found {"},
		`{"type":"io`: {
			one, event.BadRequest, "type", "line 1, byte 12: expected the closing quote of a string, found the end of the body",
		},
		`{"subject":"a` + "\xff" + `/b"}`: {
			one, event.BadRequest, "", "line 1, byte 14: expected valid UTF-8, found the byte 0xff",
		},
		`{"data":{"size":1x}}`: {
			one, event.BadRequest, "", "line 1, byte 18: expected a comma or the end of the object, found x",
		},
		`{"data":{"payload":"\x"}}`: {
			one, event.BadRequest, "payload", `line 1, byte 22: expected one of "\/bfnrtu behind the backslash, found x`,
		},
		`{"data":{"a":[1 2]}}`: {
			one, event.BadRequest, "", "line 1, byte 17: expected a comma or the end of the array, found 2",
		},
		`{"data":{"a":1}`: {
			one, event.BadRequest, "", "line 1, byte 16: expected a comma or the end of the object, found the end of the body",
		},
		`{"data":{"a":` + tooDeep + `}}`: {
			one, event.BadRequest, "", "line 1, byte 1038: expected at most 1024 levels of nesting, found [",
		},
		`{"id":` + tooDeep + `}`: {
			one, event.BadRequest, "id", "line 1, byte 1031: expected at most 1024 levels of nesting, found [",
		},
		"[" + strings.Repeat("1,\n", event.EventsMax) + "1]": {
			array, event.BodyTooLarge, "", "line 65537: a batch has at most 65536 events",
		},
		strings.Repeat(" ", event.BodyBytesMax+1): {
			one, event.BodyTooLarge, "", "the body has 67108865 bytes, at most 67108864 are taken",
		},
	} {
		var b event.Batch
		p := c.decode(&b, []byte(in))
		if p == nil || p.Code != c.code || p.Field != c.field || p.Detail != c.detail {
			t.Errorf("%.40q: %+v, want %v %q %q", in, p, c.code, c.field, c.detail)
		}
	}
	var b event.Batch
	if p := array(&b, []byte(" [ ] ")); p != nil || len(b.Events) != 0 {
		t.Errorf("an empty array: %v", p)
	}
}

// TestDecodeCloudTruncated cuts a body at every byte, of a batch that held the whole one before.
func TestDecodeCloudTruncated(t *testing.T) {
	const body = `[{"specversion":"1.0","type":"io.meterd.\u0075p","source":"/gw","id":"a","subject":"p\u0031\/d1",` +
		`"time":"2026-11-23T18:12:43Z",` +
		`"data":{"size":12.5e-1,"topic":"a\u00e9\n","payload":"温度\ud83d\ude00","payload_base64":"QUFB","o":[true,null,` +
		`{"a":-0.5}]},"x":{"y":1}}]`
	var b event.Batch
	for n := range len(body) {
		if p := DecodeCloudEvents(&b, []byte(body)); p != nil {
			t.Fatal(p)
		}
		if p := DecodeCloudEvents(&b, []byte(body[:n])); p == nil || p.Code != event.BadRequest {
			t.Errorf("%q: %v", body[:n], p)
		}
		if n > 0 && n < len(body)-1 {
			if p := DecodeCloudEvent(&b, []byte(body[1:n])); p == nil || p.Code != event.BadRequest {
				t.Errorf("%q: %v", body[1:n], p)
			}
		}
	}
}
