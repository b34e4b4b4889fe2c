package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// decoded returns the members of a JSON object.
func decoded(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return m
}

// full is a verdict with every field set, so that a member that its code does not call for shows.
func full(c event.Code) event.Verdict {
	v := event.Verdict{
		Code: c, Scope: event.ScopeProduct, Limit: 1500, Used: 1499, Requested: 13, TopupAvailable: 7,
		WindowStartMs: 1795392000000, ResetsAtMs: 1795478400000,
	}
	switch c {
	case event.InvalidEvent:
		v.Fault = event.FaultSize
	case event.PayloadTooLarge:
		v.Fault = event.FaultPayloadTooLarge
	}
	return v
}

// denials are the codes that an event can be denied with, and the members that each calls for beside index and code.
var denials = map[event.Code]map[string]any{
	event.MessageQuotaExceeded: {"limit": 1500.0, "used": 1499.0, "resets_at": "2026-11-24T00:00:00Z"},
	event.OTAQuotaExceeded: {
		"limit": 1500.0, "used": 1499.0, "requested": 13.0, "topup_available": 7.0, "resets_at": "2026-11-24T00:00:00Z",
	},
	event.LicenseExhausted: {},
	event.NotActivated:     {},
	event.RenewalOff:       {},
	event.Suspended:        {"scope": "product"},
	event.UnknownProduct:   {},
	event.UnknownOTA:       {},
	event.AlreadyVoided:    {},
	event.OTAIDReused:      {},
	event.PayloadTooLarge:  {"field": "payload", "detail": "is over 256 KiB"},
	event.InvalidEvent: {
		"field":  "size",
		"detail": "must be a whole number of bytes, under 2^31 for a message and at most 2^40 for an OTA",
	},
}

func TestAppendResult(t *testing.T) {
	if got := string(AppendResult([]byte("x"), &event.Result{Accepted: 3})); got != `x{"accepted":3,"denied":[]}` {
		t.Errorf("a result without denials: %s", got)
	}
	r := event.Result{Accepted: 998}
	codes := slices.Sorted(maps.Keys(denials))
	for i, c := range codes {
		r.Denials = append(r.Denials, event.Denial{Index: i * 5000, Verdict: full(c)})
	}
	var got struct {
		Accepted int
		Denied   []map[string]any
	}
	text := AppendResult(nil, &r)
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if got.Accepted != 998 || len(got.Denied) != len(codes) {
		t.Fatalf("accepted %d, %d denied", got.Accepted, len(got.Denied))
	}
	for i, c := range codes {
		want := maps.Clone(denials[c])
		want["index"], want["code"] = float64(i*5000), c.String()
		if !maps.Equal(got.Denied[i], want) {
			t.Errorf("%v: got %v, want %v", c, got.Denied[i], want)
		}
	}
}

// What a quota would have denied stands beside what it denied, with the same members; it is left out when it is empty.
func TestAppendWouldDeny(t *testing.T) {
	v := event.Verdict{
		Code: event.MessageQuotaExceeded, Limit: 1500, Used: 1501, WindowStartMs: 1795392000000, ResetsAtMs: 1795478400000,
	}
	ota := full(event.OTAQuotaExceeded)
	r := event.Result{Accepted: 2, WouldDeny: []event.Denial{{Index: 0, Verdict: v}, {Index: 1, Verdict: ota}}}
	const members = `"code":"message_quota_exceeded","limit":1500,"used":1501,"resets_at":"2026-11-24T00:00:00Z"}`
	const want = `{"accepted":2,"denied":[],"would_deny":[{"index":0,` + members +
		`,{"index":1,"code":"ota_quota_exceeded","limit":1500,"used":1499,"requested":13,"topup_available":7,` +
		`"resets_at":"2026-11-24T00:00:00Z"}]}`
	if got := string(AppendResult(nil, &r)); got != want {
		t.Errorf("a batch is answered\n%s, want\n%s", got, want)
	}
	if got := string(AppendAccepted(nil, &r)); got != `{"accepted":1,"would_deny":{`+members+`}` {
		t.Errorf("a single event is answered %s", got)
	}
	if got := string(AppendAccepted(nil, &event.Result{Accepted: 1})); got != `{"accepted":1}` {
		t.Errorf("a single event within its quota is answered %s", got)
	}
	r.Denials = []event.Denial{{Index: 5, Verdict: v}}
	answer := AppendResultProtobuf(nil, &r)
	if denied, would := bytes.IndexByte(answer, 2<<3|2), bytes.IndexByte(answer, 3<<3|2); denied < 0 || would < denied {
		t.Errorf("denials begin at %d, what would be denied at %d of %x", denied, would, answer)
	}
}

func TestVerdictAppendProblem(t *testing.T) {
	statuses := map[event.Code]float64{ // the table of API.md's denials
		event.MessageQuotaExceeded: 429,
		event.OTAQuotaExceeded:     429,
		event.LicenseExhausted:     403,
		event.NotActivated:         403,
		event.RenewalOff:           403,
		event.Suspended:            403,
		event.UnknownProduct:       404,
		event.UnknownOTA:           409,
		event.AlreadyVoided:        409,
		event.OTAIDReused:          409,
		event.PayloadTooLarge:      413,
		event.InvalidEvent:         400,
	}
	for c, members := range denials {
		v := full(c)
		want := maps.Clone(members)
		want["type"] = "urn:meterd:problem:" + c.String()
		want["title"], want["status"], want["code"] = c.Title(), statuses[c], c.String()
		if detail, ok := want["detail"]; ok {
			want["detail"] = fmt.Sprintf("%s: %s", want["field"], detail)
		}
		got := decoded(t, AppendVerdict(nil, &v))
		if _, told := want["detail"]; !told { // In numbers what the title says in general.
			if text, _ := got["detail"].(string); text == "" {
				t.Errorf("%v: no detail in %v", c, got)
			}
			delete(got, "detail")
		}
		if !maps.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", c, got, want)
		}
	}
}

// TestFaultAnswers answers each fault both ways, in a batch and singly. A fault of the event as a whole names no field.
func TestFaultAnswers(t *testing.T) {
	for f := event.FaultNone + 1; f < event.Faults; f++ {
		v := event.Verdict{Code: f.Code(), Fault: f}
		if v.Code != event.InvalidEvent && v.Code != event.PayloadTooLarge {
			t.Errorf("fault %d is denied with %v", f, v.Code)
		}
		if f.Detail() == "" || f != event.FaultNotObject && f.Field() == "" {
			t.Errorf("fault %d: field %q, detail %q", f, f.Field(), f.Detail())
		}
		single := decoded(t, AppendVerdict(nil, &v))
		if detail, _ := single["detail"].(string); !strings.HasSuffix(detail, f.Detail()) {
			t.Errorf("fault %d: detail %q lacks %q", f, detail, f.Detail())
		}
		if field, _ := single["field"].(string); field != f.Field() {
			t.Errorf("fault %d: field %q, want %q", f, field, f.Field())
		}
		batch := decoded(t, AppendResult(nil, &event.Result{Denials: []event.Denial{{Verdict: v}}}))
		denied := batch["denied"].([]any)[0].(map[string]any)
		if field, _ := denied["field"].(string); denied["detail"] != f.Detail() || field != f.Field() {
			t.Errorf("fault %d: %v", f, denied)
		}
	}
}

func TestProblemAppendJSON(t *testing.T) {
	for _, c := range []struct {
		p    event.Problem
		want map[string]any
	}{
		{
			event.Problem{Code: event.BadRequest, Detail: "line 7: \"\\ \n\r\t\x00\x1f é 温 <&>", Field: `a"b`, Line: 7},
			map[string]any{
				"type": "urn:meterd:problem:bad_request", "title": "The request cannot be read", "status": 400.0,
				"detail": "line 7: \"\\ \n\r\t\x00\x1f é 温 <&>", "code": "bad_request", "field": `a"b`, "line": 7.0,
			},
		},
		{
			event.Problem{Code: event.Overloaded},
			map[string]any{
				"type": "urn:meterd:problem:overloaded", "title": "Too much load", "status": 503.0, "code": "overloaded",
			},
		},
	} {
		if got := decoded(t, AppendProblem(nil, &c.p)); !maps.Equal(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	p := &event.Problem{Code: event.BadRequest, Detail: "why"}
	if got := p.Error(); got != "bad_request: why" {
		t.Errorf("Error() = %q", got)
	}
}

func TestAppendJSONString(t *testing.T) {
	for r := rune(0); r < 0x800; r++ {
		in := "a" + string(r) + "z"
		var back string
		if err := json.Unmarshal(AppendJSONString(nil, []byte(in)), &back); err != nil || back != in {
			t.Errorf("%q reads back as %q, %v", in, back, err)
		}
	}
}
