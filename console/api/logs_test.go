package api

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/shard/record"
)

// A text that was cut is still a text: a part of a character at its end is not shown. Other bytes are shown as they
// are.
func TestTextThatWasCut(t *testing.T) {
	const text = "21.5 °C, 水, 🚰"
	for n := range len(text) + 1 {
		e := query.LogEntry{Row: record.Row{Type: event.Up, Payload: []byte(text[:n]), IsCut: n < len(text)}}
		a := showLogEntry(&e)
		shown := ""
		if a.Payload != nil {
			shown = *a.Payload
		}
		if a.PayloadBase64 != nil || !strings.HasPrefix(text, shown) || n-len(shown) >= utf8.UTFMax {
			t.Errorf("%d bytes are shown as %q, %x", n, shown, a.PayloadBase64)
		}
		if a.IsCut != (n < len(text)) {
			t.Errorf("%d bytes of %d: cut %t", n, len(text), a.IsCut)
		}
	}
	for _, p := range []string{"\xff", "a\xffb", "\xff\xe6", "\x80\x80\x80\x80"} {
		e := query.LogEntry{Row: record.Row{Type: event.Up, Payload: []byte(p), IsCut: true}}
		if a := showLogEntry(&e); a.Payload != nil || string(a.PayloadBase64) != p {
			t.Errorf("%x is shown as %v, %x", p, a.Payload, a.PayloadBase64)
		}
	}
}

// The numbers of a quota stand in entries that it denied, zeroes too, and in no others.
func TestNumbersOfTheQuota(t *testing.T) {
	for code := event.Accepted; code <= event.InvalidEvent; code++ {
		e := query.LogEntry{Row: record.Row{Type: event.OTA, Code: code}}
		b, err := json.Marshal(showLogEntry(&e))
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(b), `"limit":0,"used":0,"resets_at":`); has != code.IsQuota() {
			t.Errorf("%s: %s", code, b)
		}
		if strings.Contains(string(b), "requested") {
			t.Errorf("what an upgrade lacked is shown, and the record does not have it: %s", b)
		}
		e.Row.Requested = 3
		if b, err = json.Marshal(showLogEntry(&e)); err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(b), `"requested":3,"topup_available":0`); has != code.IsQuota() {
			t.Errorf("%s: %s", code, b)
		}
	}
}
