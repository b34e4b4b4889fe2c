package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meterd/meterd/event"
)

// inHeaders is a CloudEvent in binary mode as a library sends it; fn changes it.
func inHeaders(fn func(*CloudHeaders)) CloudHeaders {
	h := CloudHeaders{
		SpecVersion: []byte("1.0"), Type: []byte("io.meterd.up"), Source: []byte("/gw"), ID: []byte("1%202"),
		Subject: []byte("p1/d1"), ContentType: []byte("application/json"),
	}
	if fn != nil {
		fn(&h)
	}
	return h
}

func TestDecodeCloudBinary(t *testing.T) {
	raw := func(h *CloudHeaders) { h.ContentType = []byte("application/octet-stream") }
	set := func(to func(*CloudHeaders) *[]byte, v string) func(*CloudHeaders) {
		return func(h *CloudHeaders) { *to(h) = []byte(v) }
	}
	subject := func(h *CloudHeaders) *[]byte { return &h.Subject }
	kind := func(h *CloudHeaders) *[]byte { return &h.Type }
	version := func(h *CloudHeaders) *[]byte { return &h.SpecVersion }
	at := func(h *CloudHeaders) *[]byte { return &h.Time }
	media := func(h *CloudHeaders) *[]byte { return &h.ContentType }
	ota := func(id string) func(*CloudHeaders) {
		return func(h *CloudHeaders) { h.Type, h.ID = []byte("io.meterd.ota"), []byte(id) }
	}
	fault := func(f event.Fault) plainEvent { return plainEvent{Type: event.Up, Fault: f} }
	for _, c := range []struct {
		change func(*CloudHeaders)
		body   string
		want   plainEvent
	}{
		{nil, "", up},
		{nil, " \n", up},
		{nil, "null", up},
		{nil, `{"size":120}`, with(func(e *plainEvent) { e.Size = 120 })},
		{
			set(media, "Application/vnd.acme+JSON; charset=utf-8"), ` {"payload":"f\u00e9","topic":"t"} `,
			with(func(e *plainEvent) { e.Payload, e.Size, e.Topic = "fé", 3, "t" }),
		},
		{nil, `7`, fault(event.FaultData)},
		{nil, `[{"size":1}]`, fault(event.FaultData)},
		{nil, `{"size":-1}`, fault(event.FaultSize)},
		// any other body is the payload
		{raw, "", up},
		{raw, "\x00\xff{", with(func(e *plainEvent) { e.Payload, e.Size = "\x00\xff{", 3 })},
		{set(media, ""), `{"size":9}`, with(func(e *plainEvent) { e.Payload, e.Size = `{"size":9}`, 10 })},
		{
			set(media, "text/plain"), strings.Repeat("x", event.PayloadBytesMax),
			with(func(e *plainEvent) {
				e.Payload, e.Size = strings.Repeat("x", event.PayloadBytesMax), event.PayloadBytesMax
			}),
		},
		{
			raw, strings.Repeat("x", event.PayloadBytesMax+1),
			plainEvent{
				Type: event.Up, Product: "p1", Device: "d1", Size: event.PayloadBytesMax + 1, Fault: event.FaultPayloadTooLarge,
			},
		},
		// values are unquoted, then decoded once
		{set(subject, "p1%2Fd1"), "", up},
		{set(subject, "p1%2fd%31"), "", up},
		{set(subject, `"p1/d\1"`), "", up},
		{set(subject, `"p1%2Fd1"`), "", up},
		{set(kind, "io.meterd.%75p"), "", up},
		{set(version, `"1.0"`), "", up},
		{set(subject, "p1%252Fd1"), "", fault(event.FaultSubject)},
		{set(subject, "p1/d1%"), "", fault(event.FaultSubject)},
		{set(subject, "p1/d1%3"), "", fault(event.FaultSubject)},
		{set(subject, "p1/d%G1"), "", fault(event.FaultSubject)},
		{set(subject, `"`), "", fault(event.FaultSubject)},
		{set(subject, `"p1/d1\"`), "", fault(event.FaultSubject)},
		{set(subject, ""), "", fault(event.FaultSubject)},
		{func(h *CloudHeaders) { h.Subject = nil }, "", fault(event.FaultSubjectMissing)},
		{set(version, "0.3"), "", fault(event.FaultSpecVersion)},
		{func(h *CloudHeaders) { h.SpecVersion = nil }, "", fault(event.FaultSpecVersion)},
		{set(kind, "up"), "", plainEvent{Fault: event.FaultCloudType}},
		{func(h *CloudHeaders) { h.Type = nil }, "", plainEvent{Fault: event.FaultTypeMissing}},
		{set(at, "2026-11-23T18:12:43.5Z"), "", with(func(e *plainEvent) { e.TimeMs = 1795457563500 })},
		{set(at, "2026-11-23T18%3A12%3A43.5Z"), "", with(func(e *plainEvent) { e.TimeMs = 1795457563500 })},
		{set(at, "yesterday"), "", fault(event.FaultTime)},
		// the id is that of an OTA, and no other type's
		{
			ota("o%3A1"), `{"size":5}`,
			with(func(e *plainEvent) { e.Type, e.Size, e.ID = event.OTA, 5, "o:1" }),
		},
		{ota("o/1"), `{"size":5}`, plainEvent{Type: event.OTA, Fault: event.FaultID}},
		{ota("o"), ``, plainEvent{Type: event.OTA, Fault: event.FaultSizeMissing}},
	} {
		h := inHeaders(c.change)
		var b event.Batch
		if p := DecodeCloudBinary(&b, &h, []byte(c.body)); p != nil {
			t.Errorf("%q %.100q: %v", h, c.body, p)
		} else if got := resolve(t, &b); len(got) != 1 || got[0] != c.want {
			t.Errorf("%q %.100q:\ngot  %.300s\nwant %.300s", h, c.body, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want))
		}
	}
	for _, body := range []string{"{", `{"size":}`, `{} {}`, "\xff", `{"topic":"` + "\xff" + `"}`} {
		h := inHeaders(nil)
		if p := DecodeCloudBinary(&event.Batch{}, &h, []byte(body)); p == nil || p.Code != event.BadRequest {
			t.Errorf("%q: %v", body, p)
		}
	}
}

// What is hashed for a sequence tells any two requests apart.
func TestHashOfCloudHeaders(t *testing.T) {
	h := inHeaders(nil)
	seen := map[uint64]bool{h.Hash(3): true}
	for _, fn := range []func(*CloudHeaders){
		func(h *CloudHeaders) { h.SpecVersion = nil },
		func(h *CloudHeaders) { h.Type = []byte("io.meterd.down") },
		func(h *CloudHeaders) { h.Source, h.ID = h.ID, h.Source },
		func(h *CloudHeaders) { h.Source, h.ID = []byte("/gw1"), []byte("%202") },
		func(h *CloudHeaders) { h.Subject = []byte("p1/d2") },
		func(h *CloudHeaders) { h.Time = []byte("2026-11-23T18:12:43Z") },
		func(h *CloudHeaders) { h.ContentType = []byte("text/plain") },
	} {
		h := inHeaders(fn)
		if seen[h.Hash(3)] {
			t.Errorf("%q has the hash of another", h)
		}
		seen[h.Hash(3)] = true
	}
}

// unquote is what RFC 9110 says of a quoted string, and unescape decodes what is percent-encoded well.
func unquote(v []byte) []byte {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return v
	}
	in, out := v[1:len(v)-1], []byte{}
	for len(in) > 0 {
		if in[0] == '\\' && len(in) > 1 {
			in = in[1:]
		}
		out, in = append(out, in[0]), in[1:]
	}
	return out
}

// A CloudEvent in binary mode is the event that the same attributes and data make in the JSON format.
func FuzzDecodeCloudBinary(f *testing.F) {
	f.Add("1.0", "io.meterd.up", "1", "p1/d1", "2026-11-23T18:12:43Z", []byte(`{"size":1,"topic":"t"}`), true)
	f.Add("1.0", "io.meterd.ota", "o%3A1", "p1%2Fd1", "", []byte(`{"size":6291456}`), true)
	f.Add(`"1.0"`, "io.meterd.down", "", `"p1/d\1"`, "x", []byte("\x00\xff"), false)
	f.Add("1%2E0", "io.meterd.ota_void", "o", "p1/d%", "", []byte("null"), true)
	var got, want event.Batch
	f.Fuzz(func(t *testing.T, version, kind, id, subject, at string, body []byte, isJSON bool) {
		if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) >= jsonDepthMax {
			return // Levels count otherwise within data.
		}
		h := CloudHeaders{
			SpecVersion: []byte(version), Type: []byte(kind), ID: []byte(id), Subject: []byte(subject), Time: []byte(at),
			Source: []byte("/gw%201"),
		}
		members := map[string]any{"source": "/gw 1"}
		for name, v := range map[string][]byte{
			"specversion": h.SpecVersion, "type": h.Type, "id": h.ID, "subject": h.Subject, "time": h.Time,
		} {
			text, err := url.PathUnescape(string(unquote(v)))
			if err != nil {
				return
			}
			members[name] = text
		}
		if isJSON {
			h.ContentType = []byte("application/json")
			members["data"] = json.RawMessage(body)
			if len(bytes.Trim(body, " \t\r\n")) == 0 {
				members["data"] = nil
			}
		} else if len(body) > 0 {
			members["data"] = map[string]string{"payload_base64": base64.StdEncoding.EncodeToString(body)}
		}
		lent := slices.Clone(body)
		p := DecodeCloudBinary(&got, &h, lent)
		if !bytes.Equal(lent, body) {
			t.Fatalf("%q was changed to %q", body, lent)
		}
		if isJSON && members["data"] != nil && !oracleValid(body) {
			if p == nil {
				t.Fatalf("%q is taken", body)
			}
			return
		}
		structured, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if p != nil {
			t.Fatalf("%q is refused: %v", body, p)
		}
		if p := DecodeCloudEvent(&want, structured); p != nil {
			t.Fatalf("%s: %v", structured, p)
		}
		if a, b := resolve(t, &got), resolve(t, &want); !slices.Equal(a, b) {
			t.Fatalf("%q %q:\ngot  %+v\nwant %+v", h, body, a, b)
		}
		if got.Events[0].Fault == event.FaultNone && !utf8.ValidString(members["id"].(string)) {
			return // In JSON it is another one.
		}
		a, b := got.Origins[0], want.Origins[0]
		if got.Events[0].Fault == event.FaultNone && (!bytes.Equal(got.Bytes(a.Source), want.Bytes(b.Source)) ||
			!bytes.Equal(got.Bytes(a.ID), want.Bytes(b.ID))) {
			t.Fatalf("%q comes from %q %q", h, got.Bytes(a.Source), got.Bytes(a.ID))
		}
	})
}
