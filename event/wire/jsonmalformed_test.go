package wire

import (
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

const (
	goodLine = `{"type":"up","product":"p1","device":"d1","size":120}`
	badUTF8  = "\x80\x80\x80\x80\x80\x80\x80\x80"
)

var tooDeep = strings.Repeat("[", jsonDepthMax+1) + strings.Repeat("]", jsonDepthMax+1)

// malformed are lines that refuse their batch, and what is said of them.
var malformed = []struct{ in, field, detail string }{
	{`{`, "", "line 2, byte 2: expected a member's name in quotes, found the end of the line"},
	{`x`, "", "line 2, byte 1: expected a value, found x"},
	{`{"type":"up"`, "type", "line 2, byte 13: expected a comma or the end of the object, found the end of the line"},
	{`{"type":"up`, "type", "line 2, byte 12: expected the closing quote of a string, found the end of the line"},
	{`{"type":"up",}`, "", "line 2, byte 14: expected a member's name in quotes, found }"},
	{`{"type" "up"}`, "", `line 2, byte 9: expected a colon, found "`},
	{`{"type":}`, "type", "line 2, byte 9: expected a value, found }"},
	{`{"product":nul}`, "product", "line 2, byte 15: expected null, found }"},
	{`{"size":01}`, "size", "line 2, byte 10: expected a comma or the end of the object, found 1"},
	{`{"size":1x}`, "size", "line 2, byte 10: expected a comma or the end of the object, found x"},
	{`{"size":-}`, "size", "line 2, byte 10: expected a digit, found }"},
	{`{"size":1.}`, "size", "line 2, byte 11: expected a digit, found }"},
	{`{"size":1e+}`, "size", "line 2, byte 12: expected a digit, found }"},
	{`{"size":.5}`, "size", "line 2, byte 9: expected a value, found ."},
	{`{"size":+5}`, "size", "line 2, byte 9: expected a value, found +"},
	{
		`{"payload":"a` + "\t" + `"}`,
		"payload",
		"line 2, byte 14: expected the closing quote of a string, found the byte 0x09",
	},
	{
		`{"payload":"a` + "\x00" + `"}`,
		"payload",
		"line 2, byte 14: expected the closing quote of a string, found the byte 0x00",
	},
	{`{"payload":"\x"}`, "payload", `line 2, byte 14: expected one of "\/bfnrtu behind the backslash, found x`},
	{`{"payload":"\u12g4"}`, "payload", "line 2, byte 17: expected four hexadecimal digits, found g"},
	{`{"payload":"é` + "\xff" + `"}`, "payload", "line 2, byte 15: expected valid UTF-8, found the byte 0xff"},
	{
		`{"payload":"12345678é` + "\xed\xa0\x80" + `"}`,
		"payload",
		"line 2, byte 23: expected valid UTF-8, found the byte 0xed",
	},
	{`{"payload":"\n` + badUTF8 + `"}`, "payload", "line 2, byte 15: expected valid UTF-8, found the byte 0x80"},
	{`{"topic":"` + "\xc3" + `"}`, "topic", "line 2, byte 11: expected valid UTF-8, found the byte 0xc3"},
	{`{"time":"` + "\x80" + `"}`, "time", "line 2, byte 10: expected valid UTF-8, found the byte 0x80"},
	{`{"a":"` + "\x80" + `"}`, "", "line 2, byte 7: expected valid UTF-8, found the byte 0x80"},
	{`{"` + "\x80" + `":1}`, "", "line 2, byte 3: expected valid UTF-8, found the byte 0x80"},
	{`{"a":[1 2]}`, "", "line 2, byte 9: expected a comma or the end of the array, found 2"},
	{`{"a":[1,]}`, "", "line 2, byte 9: expected a value, found ]"},
	{`{"a":{"b":1,}}`, "", "line 2, byte 13: expected a member's name in quotes, found }"},
	{`{"a":{"b"}}`, "", "line 2, byte 10: expected a colon, found }"},
	{`{"a":{1:2}}`, "", "line 2, byte 7: expected a member's name in quotes, found 1"},
	{`{"a":[}}`, "", "line 2, byte 7: expected a value, found }"},
	{`{"a":` + tooDeep + `}`, "", "line 2, byte 1030: expected at most 1024 levels of nesting, found ["},
	{tooDeep, "", "line 2, byte 1025: expected at most 1024 levels of nesting, found ["},
	{`{"a":tru}`, "", "line 2, byte 9: expected true, found }"},
	{"\ufeff" + goodLine, "", "line 2, byte 1: expected a value, found the byte 0xef"},
	{goodLine + " x", "", "line 2, byte 55: expected the end of the line, found x"},
	{goodLine + goodLine, "", "line 2, byte 54: expected the end of the line, found {"},
	{goodLine + ",", "", "line 2, byte 54: expected the end of the line, found ,"},
	{goodLine + "\x00", "", "line 2, byte 54: expected the end of the line, found the byte 0x00"},
	{"\x00", "", "line 2, byte 1: expected a value, found the byte 0x00"},
}

func TestDecodeMalformed(t *testing.T) {
	for _, c := range malformed {
		var b event.Batch
		p := DecodeNDJSON(&b, []byte("\r\n"+c.in+"\n"+goodLine+"\n"))
		if p == nil {
			t.Errorf("%q is taken", c.in)
			continue
		}
		if p.Code != event.BadRequest || p.Line != 2 || p.Field != c.field || p.Detail != c.detail {
			t.Errorf("%q:\ngot  %v %d %q %q\nwant field %q %q", c.in, p.Code, p.Line, p.Field, p.Detail, c.field, c.detail)
		}
		if _, p = DecodeJSON(&b, []byte("["+goodLine+","+c.in+"]")); p == nil {
			t.Errorf("%q is taken in an array", c.in)
		}
		// Alone, what is one level too deep for an event is an array of events that is not.
		if _, p = DecodeJSON(&b, []byte(c.in)); p == nil && c.in != tooDeep {
			t.Errorf("%q is taken alone", c.in)
		}
	}
}

// TestDecodeTruncated cuts a body at every byte. The batch held the whole body before, so a decoder that reads on
// behind its end would find what it lacks.
func TestDecodeTruncated(t *testing.T) {
	const body = `{"type":"up","product":"p1","device":"d1","size":12.5e-1,"id":"a","topic":"a\u00e9\n",` +
		`"payload":"温度\ud83d\ude00",` +
		`"payload_base64":"QUFB","time":"2026-11-23T18:12:43Z","other":[true,false,null,{"a":-0.5}]}`
	var b event.Batch
	for n := range len(body) {
		if p := DecodeNDJSON(&b, []byte(body+"]")); p == nil {
			t.Fatal("something behind the value is taken")
		}
		if p := DecodeNDJSON(&b, []byte(body[:n])); p == nil || p.Code != event.BadRequest {
			t.Errorf("%q: %v", body[:n], p)
		}
		if _, p := DecodeJSON(&b, []byte("["+body[:n])); p == nil || p.Code != event.BadRequest || p.Line != 1 {
			t.Errorf("[%q: %v", body[:n], p)
		}
	}
}

func TestDecodeRefused(t *testing.T) {
	tooMany := &event.Problem{
		Code:   event.BodyTooLarge,
		Line:   event.EventsMax + 1,
		Detail: "line 65537: a batch has at most 65536 events",
	}
	empty := &event.Problem{Code: event.BadRequest, Detail: "the body holds no event"}
	tooLarge := &event.Problem{Code: event.BodyTooLarge, Detail: "the body has 67108865 bytes, at most 67108864 are taken"}
	lines := func(s string) func(*event.Batch) *event.Problem {
		return func(b *event.Batch) *event.Problem { return DecodeNDJSON(b, []byte(s)) }
	}
	array := func(s string) func(*event.Batch) *event.Problem {
		return func(b *event.Batch) *event.Problem {
			_, p := DecodeJSON(b, []byte(s))
			return p
		}
	}
	for name, c := range map[string]struct {
		decode func(*event.Batch) *event.Problem
		want   *event.Problem
	}{
		"no lines":            {lines(""), empty},
		"blank lines":         {lines(" \r\n\n\t\n"), empty},
		"no JSON":             {array(""), empty},
		"blank JSON":          {array(" \r\n"), empty},
		"too many lines":      {lines(strings.Repeat("1\n", event.EventsMax+1)), tooMany},
		"too many elements":   {array("[" + strings.Repeat("1,\n", event.EventsMax) + "1]"), tooMany},
		"too many bytes":      {lines(strings.Repeat(" ", event.BodyBytesMax+1)), tooLarge},
		"too many JSON bytes": {array(strings.Repeat(" ", event.BodyBytesMax+1)), tooLarge},
		"behind the array": {array("[]\n]"), &event.Problem{
			Code: event.BadRequest, Line: 2, Detail: "line 2, byte 1: expected the end of the body, found ]",
		}},
		"open array": {array("[\n1\n"), &event.Problem{
			Code: event.BadRequest, Line: 3, Detail: "line 3, byte 1: expected a comma or the end of the array, found the end " +
				"of the body",
		}},
		"line feed in an NDJSON value": {lines("{\n}"), &event.Problem{
			Code: event.BadRequest, Line: 1, Detail: "line 1, byte 2: expected a member's name in quotes, found the end of " +
				"the line",
		}},
	} {
		var b event.Batch
		if got := c.decode(&b); got == nil || *got != *c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
