package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// TestPublishRefusals: a device is told to wait for its quota only when waiting for it helps, and every reason is one
// that a PUBACK may have (MQTT 5, 3.4.2.1).
func TestPublishRefusals(t *testing.T) {
	mayBe := map[byte]bool{0x80: true, 0x83: true, 0x87: true, 0x90: true, 0x91: true, 0x97: true, 0x99: true}
	for code := range event.Code(event.Codes) {
		v := client.Verdict{Code: code.String()}
		want := map[event.Code]byte{
			event.MessageQuotaExceeded: 0x97, event.LicenseExhausted: 0x97,
			event.InvalidEvent: 0x83, event.PayloadTooLarge: 0x99,
		}[code]
		if want == 0 {
			want = 0x87
		}
		if got := publishRefusal(v, nil); got.Code != want || got.Reason != v.Code || !mayBe[got.Code] {
			t.Errorf("%s: %#x %q, want %#x", v.Code, got.Code, got.Reason, want)
		}
	}
	for field, want := range map[string]byte{"topic": 0x90, "payload": 0x99, "size": 0x99, "time": 0x83} {
		v := client.Verdict{Code: event.InvalidEvent.String(), Field: field}
		if got := publishRefusal(v, nil); got.Code != want {
			t.Errorf("invalid %s: %#x, want %#x", field, got.Code, want)
		}
	}
	if got := publishRefusal(client.Verdict{Code: "code_of_the_future"}, nil); got.Code != 0x87 {
		t.Errorf("a code of the future: %#x", got.Code)
	}
	for want, err := range map[string]error{
		"overloaded": client.ErrOverloaded, "invalid_event": fmt.Errorf("%w: type", client.ErrInvalid),
		"unavailable": client.ErrClosed, "ambiguous": &client.UnavailableError{Ambiguous: true, Err: errors.New("cut")},
	} {
		if got := publishRefusal(client.Verdict{}, err); got.Code != 0x83 || got.Reason != want {
			t.Errorf("%v: %#x %q, want 0x83 %q", err, got.Code, got.Reason, want)
		}
	}
	for f := noFault + 1; f < faults; f++ {
		if got := f.refusal(); !mayBe[got.Code] || got.Code == 0x97 || f.String() == "" {
			t.Errorf("%s: %#x", f, got.Code)
		}
	}
}
