package event

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
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
func full(c Code) Verdict {
	v := Verdict{
		Code: c, Scope: ScopeProduct, Limit: 1500, Used: 1499, Requested: 13, TopupAvailable: 7,
		WindowStartMs: 1795392000000, ResetsAtMs: 1795478400000,
	}
	switch c {
	case InvalidEvent:
		v.Fault = FaultSize
	case PayloadTooLarge:
		v.Fault = FaultPayloadTooLarge
	}
	return v
}

// denials are the codes that an event can be denied with, and the members that each calls for beside index and code.
var denials = map[Code]map[string]any{
	MessageQuotaExceeded: {"limit": 1500.0, "used": 1499.0, "resets_at": "2026-11-24T00:00:00Z"},
	OTAQuotaExceeded: {
		"limit": 1500.0, "used": 1499.0, "requested": 13.0, "topup_available": 7.0, "resets_at": "2026-11-24T00:00:00Z",
	},
	LicenseExhausted: {},
	NotActivated:     {},
	RenewalOff:       {},
	Suspended:        {"scope": "product"},
	UnknownProduct:   {},
	UnknownOTA:       {},
	AlreadyVoided:    {},
	OTAIDReused:      {},
	PayloadTooLarge:  {"field": "payload", "detail": "is over 256 KiB"},
	InvalidEvent: {
		"field":  "size",
		"detail": "must be a whole number of bytes, under 2^31 for a message and at most 2^40 for an OTA",
	},
}

func TestAppendResult(t *testing.T) {
	if got := string(AppendResult([]byte("x"), &Result{Accepted: 3})); got != `x{"accepted":3,"denied":[]}` {
		t.Errorf("a result without denials: %s", got)
	}
	r := Result{Accepted: 998}
	codes := slices.Sorted(maps.Keys(denials))
	for i, c := range codes {
		r.Denials = append(r.Denials, Denial{Index: i * 5000, Verdict: full(c)})
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

func TestVerdictAppendProblem(t *testing.T) {
	statuses := map[Code]float64{ // the table of API.md's denials
		MessageQuotaExceeded: 429, OTAQuotaExceeded: 429, LicenseExhausted: 403, NotActivated: 403, RenewalOff: 403,
		Suspended: 403, UnknownProduct: 404, UnknownOTA: 409, AlreadyVoided: 409, OTAIDReused: 409,
		PayloadTooLarge: 413, InvalidEvent: 400,
	}
	for c, members := range denials {
		v := full(c)
		want := maps.Clone(members)
		want["type"] = "urn:meterd:problem:" + c.String()
		want["title"], want["status"], want["code"] = c.Title(), statuses[c], c.String()
		if detail, ok := want["detail"]; ok {
			want["detail"] = fmt.Sprintf("%s: %s", want["field"], detail)
		}
		got := decoded(t, v.AppendProblem(nil))
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
	for f := FaultNone + 1; int(f) < len(faultTable); f++ {
		v := Verdict{Code: f.Code(), Fault: f}
		if v.Code != InvalidEvent && v.Code != PayloadTooLarge {
			t.Errorf("fault %d is denied with %v", f, v.Code)
		}
		if f.Detail() == "" || f != FaultNotObject && f.Field() == "" {
			t.Errorf("fault %d: field %q, detail %q", f, f.Field(), f.Detail())
		}
		single := decoded(t, v.AppendProblem(nil))
		if detail, _ := single["detail"].(string); !strings.HasSuffix(detail, f.Detail()) {
			t.Errorf("fault %d: detail %q lacks %q", f, detail, f.Detail())
		}
		if field, _ := single["field"].(string); field != f.Field() {
			t.Errorf("fault %d: field %q, want %q", f, field, f.Field())
		}
		batch := decoded(t, AppendResult(nil, &Result{Denials: []Denial{{Verdict: v}}}))
		denied := batch["denied"].([]any)[0].(map[string]any)
		if field, _ := denied["field"].(string); denied["detail"] != f.Detail() || field != f.Field() {
			t.Errorf("fault %d: %v", f, denied)
		}
	}
}

func TestProblemAppendJSON(t *testing.T) {
	for _, c := range []struct {
		p    Problem
		want map[string]any
	}{
		{
			Problem{Code: BadRequest, Detail: "line 7: \"\\ \n\r\t\x00\x1f é 温 <&>", Field: `a"b`, Line: 7},
			map[string]any{
				"type": "urn:meterd:problem:bad_request", "title": "The request cannot be read", "status": 400.0,
				"detail": "line 7: \"\\ \n\r\t\x00\x1f é 温 <&>", "code": "bad_request", "field": `a"b`, "line": 7.0,
			},
		},
		{
			Problem{Code: Overloaded},
			map[string]any{
				"type": "urn:meterd:problem:overloaded", "title": "Too much load", "status": 503.0, "code": "overloaded",
			},
		},
	} {
		if got := decoded(t, c.p.AppendJSON(nil)); !maps.Equal(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	p := &Problem{Code: BadRequest, Detail: "why"}
	if got := p.Error(); got != "bad_request: why" {
		t.Errorf("Error() = %q", got)
	}
}

func TestAppendTime(t *testing.T) {
	for ms, want := range map[int64]string{
		0:                `"1970-01-01T00:00:00Z"`,
		1795457563000:    `"2026-11-23T18:12:43Z"`,
		1795457563007:    `"2026-11-23T18:12:43.007Z"`,
		1795457563120:    `"2026-11-23T18:12:43.120Z"`,
		-1:               `"1969-12-31T23:59:59.999Z"`,
		-62167219200_000: `"0000-01-01T00:00:00Z"`,
	} {
		got := AppendTime([]byte("x"), ms)
		if string(got) != "x"+want {
			t.Errorf("AppendTime(%d) = %s, want %s", ms, got[1:], want)
			continue
		}
		var back time.Time
		if err := json.Unmarshal(got[1:], &back); err != nil || back.UnixMilli() != ms {
			t.Errorf("AppendTime(%d) reads back as %v, %v", ms, back, err)
		}
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

func TestValidName(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
	for c := range 256 {
		want := strings.IndexByte(letters, byte(c)) >= 0
		for _, name := range [][]byte{{byte(c)}, {'a', byte(c)}, {byte(c), 'a'}} {
			if ValidName(name) != want {
				t.Errorf("ValidName(%q) = %v", name, !want)
			}
		}
	}
	for n, want := range map[int]bool{0: false, 1: true, NameBytesMax: true, NameBytesMax + 1: false} {
		if ValidName([]byte(strings.Repeat("a", n))) != want {
			t.Errorf("a name of %d bytes: %v", n, !want)
		}
	}
}

func TestParseType(t *testing.T) {
	names := map[Type]string{
		Connect: "connect", Disconnect: "disconnect", Up: "up", Down: "down", OTA: "ota", OTAVoid: "ota_void",
	}
	if len(names) != Types-1 {
		t.Fatalf("%d types of %d are tested", len(names), Types-1)
	}
	for typ, name := range names {
		if typ.String() != name || ParseType([]byte(name)) != typ {
			t.Errorf("%d is %q, %q is %d", typ, typ, name, ParseType([]byte(name)))
		}
	}
	for _, name := range []string{"", "Up", "up ", "u", "ups", "ota-void"} {
		if got := ParseType([]byte(name)); got != 0 {
			t.Errorf("%q is %v", name, got)
		}
	}
	for _, typ := range []Type{0, Types, 255} {
		if got := typ.String(); got != "" {
			t.Errorf("%d is %q", typ, got)
		}
	}
}

func TestCodeTable(t *testing.T) {
	seen := map[string]Code{}
	for c := Accepted; c <= InvalidEvent; c++ {
		if other, ok := seen[c.String()]; ok {
			t.Errorf("%d and %d are both %q", other, c, c)
		}
		seen[c.String()] = c
	}
	rows := 0
	for c, row := range codeTable {
		if row == (codeRow{}) {
			if c <= int(InvalidEvent) || c >= int(BadRequest) {
				t.Errorf("code %d has no row", c)
			}
			if got := Code(c).String(); got != "internal_error" {
				t.Errorf("code %d is %q", c, got)
			}
			continue
		}
		rows++
		if row.name == "" || row.title == "" || strings.HasSuffix(row.title, ".") {
			t.Errorf("code %d: %q, %q", c, row.name, row.title)
		}
		if ok := row.status == 200; ok != (Code(c) == Accepted) || !ok && (row.status < 400 || row.status > 599) {
			t.Errorf("%s has status %d", row.name, row.status)
		}
	}
	if Code(255).Status() != 500 || rows != 40 {
		t.Errorf("an unknown code has status %d; %d codes", Code(255).Status(), rows)
	}
}
