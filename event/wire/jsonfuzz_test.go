package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meterd/meterd/event"
)

// The oracle of the two decoders: the rules once more, in as few words as encoding/json allows. Their seeds lie in
// testdata/fuzz, where inputs that were found stay.

// oracleValid reports whether the decoders may take s as a value.
func oracleValid(s []byte) bool {
	s = bytes.TrimLeft(s, " \t\r\n")
	limit := jsonDepthMax
	if len(s) > 0 && s[0] == '{' {
		limit++ // an event's own level
	}
	return json.Valid(s) && utf8.Valid(s) && depth(s) <= limit
}

// depth returns the deepest nesting of a valid JSON text.
func depth(s []byte) (deepest int) {
	level, inString := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == '['):
			level++
			deepest = max(deepest, level)
		case !inString && (c == '}' || c == ']'):
			level--
		}
	}
	return deepest
}

// oracleMembers are the members of an event that are there, null being none.
type oracleMembers map[string]json.RawMessage

// text returns the string that key holds; ok is false if it holds something else.
func (m oracleMembers) text(key string) (s string, ok bool) {
	if raw := m[key]; len(raw) > 0 && raw[0] == '"' {
		ok = json.Unmarshal(raw, &s) == nil
	}
	return s, ok
}

// name returns the name that key holds, and ill or missing if it is none.
func (m oracleMembers) name(key string, needed bool, ill, missing event.Fault) (string, event.Fault) {
	if _, there := m[key]; !there {
		if needed {
			return "", missing
		}
		return "", event.FaultNone
	}
	s, ok := m.text(key)
	if !ok || s == "" || len(s) > 64 || strings.IndexFunc(s, notOfName) >= 0 {
		return "", ill
	}
	return s, event.FaultNone
}

const oracleNameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"

func notOfName(r rune) bool { return !strings.ContainsRune(oracleNameBytes, r) }

// oracleEvent returns what a valid JSON text is as an event.
func oracleEvent(raw []byte) plainEvent {
	var m oracleMembers
	if raw = bytes.TrimLeft(raw, " \t\r\n"); raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return plainEvent{Fault: event.FaultNotObject}
	}
	for k, v := range m {
		if string(v) == "null" {
			delete(m, k)
		}
	}
	if _, there := m["type"]; !there {
		return plainEvent{Fault: event.FaultTypeMissing}
	}
	name, _ := m.text("type")
	e := plainEvent{Type: event.ParseType([]byte(name))}
	if e.Type == 0 {
		return plainEvent{Fault: event.FaultType}
	}
	switch fault := m.fill(&e); fault {
	case event.FaultNone:
	case event.FaultPayloadTooLarge: // It is logged, but for its payload (R18).
		s, _ := m.text("time")
		e.TimeMs, _ = event.ParseTime([]byte(s))
		m.sizeOf(&e)
		e.Payload, e.ID, e.Fault = "", "", fault
	default:
		return plainEvent{Type: e.Type, Fault: fault}
	}
	return e
}

// fill sets what the members say about e, up to the first fault.
func (m oracleMembers) fill(e *plainEvent) (fault event.Fault) {
	if e.Product, fault = m.name(
		"product",
		true,
		event.FaultProduct,
		event.FaultProductMissing,
	); fault != event.FaultNone {
		return fault
	}
	if e.Device, fault = m.name("device", true, event.FaultDevice, event.FaultDeviceMissing); fault != event.FaultNone {
		return fault
	}
	if fault = m.fillSize(e); fault != event.FaultNone {
		return fault
	}
	if e.Type == event.OTA || e.Type == event.OTAVoid {
		if e.ID, fault = m.name(
			"id",
			e.Type == event.OTAVoid,
			event.FaultID,
			event.FaultIDMissing,
		); fault != event.FaultNone {
			return fault
		}
	}
	var ok bool
	if _, there := m["topic"]; there {
		if e.Topic, ok = m.text("topic"); !ok || len(e.Topic) > 256 {
			return event.FaultTopic
		}
	}
	if fault = m.fillPayload(e); fault != event.FaultNone {
		return fault
	}
	if _, there := m["time"]; there {
		s, _ := m.text("time")
		if e.TimeMs, ok = event.ParseTime([]byte(s)); !ok { // FuzzParseTime has its oracle
			return event.FaultTime
		}
	}
	m.sizeOf(e)
	return event.FaultNone
}

// sizeOf gives a message without a size that of its payload.
func (m oracleMembers) sizeOf(e *plainEvent) {
	if _, there := m["size"]; !there && (e.Type == event.Up || e.Type == event.Down) {
		e.Size = int64(len(e.Payload))
	}
}

func (m oracleMembers) fillSize(e *plainEvent) event.Fault {
	most := int64(1)<<31 - 1
	switch e.Type {
	case event.OTA:
		most = 1 << 40
	case event.Up, event.Down:
	default:
		return event.FaultNone
	}
	raw, there := m["size"]
	if !there {
		if e.Type == event.OTA {
			return event.FaultSizeMissing
		}
		return event.FaultNone
	}
	size, ok := event.ParseWhole(raw, uint64(most)) // FuzzParseWhole has its oracle.
	if !ok {
		return event.FaultSize
	}
	e.Size = int64(size)
	return event.FaultNone
}

func (m oracleMembers) fillPayload(e *plainEvent) event.Fault {
	_, plain := m["payload"]
	_, encoded := m["payload_base64"]
	var ok bool
	switch {
	case plain && encoded:
		return event.FaultPayloadTwice
	case plain:
		if e.Payload, ok = m.text("payload"); !ok {
			return event.FaultPayload
		}
	case encoded:
		s, ok := m.text("payload_base64")
		payload, err := base64.StdEncoding.DecodeString(s)
		if !ok || err != nil || strings.ContainsAny(s, "\r\n") {
			return event.FaultPayloadBase64
		}
		e.Payload = string(payload)
	}
	if len(e.Payload) > 256<<10 {
		return event.FaultPayloadTooLarge
	}
	return event.FaultNone
}

// checkDecoded compares a decoder's answer with the oracle's; values are the texts that must be events, nil if the body
// is to be refused.
func checkDecoded(t *testing.T, b *event.Batch, p *event.Problem, body []byte, values [][]byte) {
	t.Helper()
	if p != nil {
		if values != nil {
			t.Fatalf("%q is refused: %v", body, p)
		}
		if p.Code != event.BadRequest || !utf8.ValidString(p.Detail) || p.Line < 0 ||
			p.Line > 1+bytes.Count(body, []byte{'\n'}) {
			t.Fatalf("%q: %+v", body, p)
		}
		return
	}
	if values == nil {
		t.Fatalf("%q is taken", body)
	}
	got := resolve(t, b)
	want := make([]plainEvent, 0, len(values))
	for _, v := range values {
		want = append(want, oracleEvent(v))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q:\ngot  %+v\nwant %+v", body, got, want)
	}
}

func FuzzDecodeNDJSON(f *testing.F) {
	var used event.Batch // of all runs, as a gateway's batches are
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Count(body, []byte{'\n'}) >= event.EventsMax {
			return
		}
		lent := slices.Clone(body)
		p := DecodeNDJSON(&used, lent)
		if !bytes.Equal(lent, body) {
			t.Fatalf("%q was changed to %q", body, lent)
		}
		var values [][]byte
		for line := range bytes.SplitSeq(body, []byte{'\n'}) {
			if len(bytes.Trim(line, " \t\r")) == 0 {
				continue
			}
			if !oracleValid(line) {
				values = nil
				break
			}
			values = append(values, line)
		}
		checkDecoded(t, &used, p, body, values)
	})
}

func FuzzDecodeJSON(f *testing.F) {
	var used event.Batch
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Count(body, []byte{','}) >= event.EventsMax {
			return
		}
		lent := slices.Clone(body)
		single, p := DecodeJSON(&used, lent)
		if !bytes.Equal(lent, body) {
			t.Fatalf("%q was changed to %q", body, lent)
		}
		text := bytes.Trim(body, " \t\r\n")
		array := len(text) > 0 && text[0] == '['
		if p == nil && single == array {
			t.Fatalf("%q: single is %v", body, single)
		}
		values := [][]byte{text}
		if array {
			var elements []json.RawMessage
			if json.Unmarshal(text, &elements) != nil {
				checkDecoded(t, &used, p, body, nil)
				return
			}
			values = values[:0]
			for _, e := range elements {
				values = append(values, e)
			}
		}
		for _, v := range values {
			if !oracleValid(v) {
				values = nil
				break
			}
		}
		checkDecoded(t, &used, p, body, values)
	})
}
