package main_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The limits of the contract.
const (
	bodyBytesMax    = 64 << 20
	eventsMax       = 65_536
	payloadBytesMax = 256 << 10
)

// state is all that events can change, as text: a refused batch must leave it as it is.
func (d *daemon) state(product string) string {
	d.t.Helper()
	var b strings.Builder
	for _, path := range []string{"", "/lots", "/topups", "/licenses", "/devices"} {
		b.Write(d.must("GET", "/v1/products/"+product+path, "", nil).body)
	}
	for _, device := range []string{"d1", "d2", "new"} {
		b.Write(d.must("GET", "/v1/products/"+product+"/devices/"+device+"/logs", "", nil).body)
	}
	return b.String()
}

// badBatch is a body that must be refused whole.
type badBatch struct {
	name, kind, encoding string
	body                 []byte
	status               int
	code, field          string
	line                 int
	says                 string // in the detail
}

// refuseWhole sends each of cases and proves that it changed nothing.
func (d *daemon) refuseWhole(t *testing.T, cases []badBatch) {
	t.Helper()
	before := d.state("p1")
	for _, c := range cases {
		header := []string{"Content-Encoding", c.encoding, "Content-Type", c.kind}
		a, err := d.try("POST", "/v1/events", c.body, header...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		p := a.problem(t)
		if a.status != c.status || p.Code != c.code || p.Line != c.line || p.Field != c.field ||
			!strings.Contains(p.Detail, c.says) {
			t.Errorf(
				"%s: %s, want %d %s line %d field %q that says %q",
				c.name,
				a.body,
				c.status,
				c.code,
				c.line,
				c.field,
				c.says,
			)
		}
		if after := d.state("p1"); after != before {
			t.Fatalf("%s: it was refused and changed something:\n%s\n%s", c.name, before, after)
		}
	}
}

// badDaemon has a product with an active device, a connected one and licences left, so that there is something to
// change.
func badDaemon(t *testing.T, flags ...string) *daemon {
	d := newDaemon(t, flags...)
	d.withProduct("p1", `{"messages_per_day":100}`)
	d.credit("p1", "PO-1", 5)
	d.topup("p1", "PACK", 5)
	d.batch(
		line("connect", "p1", "d1"),
		line("up", "p1", "d1"),
		line("connect", "p1", "d2"),
		line("disconnect", "p1", "d2"),
	)
	return d
}

// good is what stands before the fault in every refused batch: each of these would change the state.
var good = strings.Join([]string{
	line(
		"connect",
		"p1",
		"new",
	),
	line("up", "p1", "d1"),
	sized("ota", "p1", "d1", 1),
	line("connect", "p1", "d2"),
	line("disconnect", "p1", "d1"),
}, "\n") + "\n"

func TestMalformedBatch(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	array := "[" + strings.ReplaceAll(strings.TrimSpace(good), "\n", ",\n")
	full := []byte(good + line("up", "p1", "d1"))
	var cases []badBatch
	lines := func(name, bad, says string, field ...string) {
		c := badBatch{
			name:   name,
			kind:   asNDJSON,
			body:   []byte(good + bad),
			status: 400,
			code:   "bad_request",
			line:   6,
			says:   says,
		}
		if len(field) > 0 {
			c.field = field[0]
		}
		cases = append(cases, c)
	}
	lines("not JSON", "up p1 d1", "line 6, byte 1")
	lines("a line cut off", `{"type":"up","product":"p1","dev`, "end of the body")
	lines(
		"a line cut off before the next",
		`{"type":"up","product":"p1"`+"\n"+line("up", "p1", "d1"),
		"end of the line",
		"product",
	)
	lines("something behind the value", line("up", "p1", "d1")+` {}`, "end of the line")
	lines("two values on a line", line("up", "p1", "d1")+line("up", "p1", "d1"), "end of the line")
	lines("a comma too many", `{"type":"up","product":"p1","device":"d1",}`, "line 6")
	lines("a bare control byte in a string", "{\"type\":\"up\",\"product\":\"p1\",\"device\":\"d\x01\"}", "0x01", "device")
	lines("a NUL byte", line("up", "p1", "d1")+"\x00", "0x00")
	lines(
		"invalid UTF-8 in a string",
		"{\"type\":\"up\",\"product\":\"p1\",\"device\":\"d1\",\"payload\":\"a\xffb\"}",
		"line 6",
		"payload",
	)
	lines(
		"half a surrogate pair in bytes",
		"{\"type\":\"up\",\"product\":\"p1\",\"device\":\"d1\",\"topic\":\"\xed\xa0\x80\"}",
		"line 6",
		"topic",
	)
	lines("a bad number", `{"type":"up","product":"p1","device":"d1","size":01}`, "line 6", "size")
	lines("a bad escape", `{"type":"up","product":"p1","device":"d1","topic":"\x41"}`, "line 6", "topic")
	lines("a byte order mark", "\ufeff"+line("up", "p1", "d1"), "line 6, byte 1")
	lines("UTF-16", "\xff\xfe{\x00}\x00", "0xff")
	lines("nested too deep", `{"type":"up","product":"p1","device":"d1","x":`+strings.Repeat("[", 100_000), "line 6")

	add := func(name, kind, encoding string, body []byte, status int, code string, line int, field, says string) {
		cases = append(cases, badBatch{name, kind, encoding, body, status, code, field, line, says})
	}
	add("empty", asNDJSON, "", nil, 400, "bad_request", 0, "", "no event")
	add("blank", asNDJSON, "", []byte("\n \r\n\t\n"), 400, "bad_request", 0, "", "no event")
	add("empty JSON", asJSON, "", nil, 400, "bad_request", 0, "", "no event")
	add("blank JSON", asJSON, "", []byte("  \n"), 400, "bad_request", 0, "", "no event")
	add("empty and gzipped", asNDJSON, "gzip", compress(t, "gzip", nil), 400, "bad_request", 0, "", "no event")
	add("an array cut off", asJSON, "", []byte(array), 400, "bad_request", 5, "", "end of the body")
	add("an array with a comma too many", asJSON, "", []byte(array+",\n]"), 400, "bad_request", 6, "", "found ]")
	add("an array with a tail", asJSON, "", []byte(array+"]\n]"), 400, "bad_request", 6, "", "end of the body")
	add("lines as JSON", asJSON, "", full, 400, "bad_request", 2, "", "end of the body")

	for _, encoding := range []string{"gzip", "zstd", "snappy"} {
		whole := compress(t, encoding, full)
		add(encoding+" cut off", asNDJSON, encoding, whole[:len(whole)-3], 400, "bad_request", 0, "", "Content-Encoding")
		flipped := bytes.Clone(whole)
		flipped[len(flipped)-2] ^= 0x40
		add(encoding+" with a flipped byte", asNDJSON, encoding, flipped, 400, "bad_request", 0, "", "Content-Encoding")
		add(encoding+" that is none", asNDJSON, encoding, full, 400, "bad_request", 0, "", "Content-Encoding")
		add(encoding+" of nothing", asNDJSON, encoding, nil, 400, "bad_request", 0, "", "")
	}
	add("plain that is gzip", asNDJSON, "", compress(t, "gzip", full), 400, "bad_request", 1, "", "line 1, byte 1")

	add(
		"unknown encoding",
		asNDJSON,
		"br",
		full,
		415,
		"unsupported_encoding",
		0,
		"Content-Encoding",
		"gzip, zstd or snappy",
	)
	add(
		"two encodings",
		asNDJSON,
		"gzip, zstd",
		full,
		415,
		"unsupported_encoding",
		0,
		"Content-Encoding",
		"gzip, zstd or snappy",
	)
	for _, kind := range []string{
		"", "text/plain", "application/xml", "application/x-www-form-urlencoded",
		"application/jsonx",
	} {
		add("content type "+kind, kind, "", full, 415, "unsupported_media_type", 0, "Content-Type", "application/x-ndjson")
	}
	d.refuseWhole(t, cases)
	t.Logf("%d malformed bodies refused, none changed anything", len(cases))
}

// TestOversizedBatch: 64 MiB and 65,536 events are taken, one more is not, however small it was on the way.
func TestOversizedBatch(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	tooMany := []byte(strings.Repeat(line("up", "p1", "d1")+"\n", eventsMax+1))
	blanks := []byte(good + strings.Repeat(" ", bodyBytesMax+1-len(good)))
	bomb, pieces := strings.Repeat("\n", 1<<20), 2048
	if testing.Short() {
		pieces = 80 // Making a bomb takes the race detector longer than disarming it.
	}
	d.refuseWhole(t, []badBatch{
		{"65,537 lines", asNDJSON, "", tooMany, 413, "body_too_large", "", eventsMax + 1, "65536"},
		{
			"65,537 lines in zstd",
			asNDJSON,
			"zstd",
			compress(t, "zstd", tooMany),
			413,
			"body_too_large",
			"",
			eventsMax + 1,
			"65536",
		},
		{
			"65,537 elements",
			asJSON,
			"",
			[]byte("[" + strings.Repeat(`{},`, eventsMax) + "{}]"),
			413,
			"body_too_large",
			"",
			1,
			"65536",
		},
		{
			"64 MiB and a byte in gzip",
			asNDJSON,
			"gzip",
			compress(t, "gzip", blanks),
			413,
			"body_too_large",
			"",
			0,
			"67108864",
		},
		{"a gzip bomb", asNDJSON, "gzip", gzipBomb(t, bomb, pieces), 413, "body_too_large", "", 0, "67108864"},
		{"a zstd bomb", asNDJSON, "zstd", zstdBomb(t, bomb, pieces), 413, "body_too_large", "", 0, "67108864"},
		{
			"a zstd window of 2 GiB",
			asNDJSON,
			"zstd",
			[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0},
			400,
			"bad_request",
			"",
			0,
			"Content-Encoding",
		},
	})
	// A body that says it is too long is refused before it is read, and the client sees that, though it sends to the end.
	before := d.state("p1")
	for range 3 {
		d.ask("POST", "/v1/events", string(blanks), "Content-Type", asNDJSON).refuse(t, 413, "body_too_large")
	}
	if d.state("p1") != before {
		t.Error("the plain body of 64 MiB and a byte changed something")
	}
	exact := blanks[:bodyBytesMax]
	copy(exact[len(good):], line("up", "p1", "d2"))
	for _, encoding := range []string{"", "zstd"} {
		a := d.ask(
			"POST",
			"/v1/events",
			string(compress(t, encoding, exact)),
			"Content-Type",
			asNDJSON,
			"Content-Encoding",
			encoding,
		)
		if codes, err := a.verdicts(6); a.status != 200 || err != nil || codes[5] != "accepted" {
			t.Errorf("64 MiB %s: %d %.200s", encoding, a.status, a.body)
		}
	}
	if a := d.ask(
		"POST",
		"/v1/events",
		strings.Repeat(line("up", "p1", "d1")+"\n", eventsMax),
		"Content-Type",
		asNDJSON,
	); a.status != 200 {
		t.Errorf("65,536 events: %d %.200s", a.status, a.body)
	} else if codes, err := a.verdicts(
		eventsMax,
	); err != nil ||
		codes[eventsMax-1] != "message_quota_exceeded" {
		t.Errorf("65,536 events: %v", err)
	}
	if rss := d.metric("process_resident_memory_bytes"); rss == "" {
		t.Error("the daemon does not tell its memory")
	} else {
		t.Logf("resident after bombs and batches of 64 MiB: %s bytes", rss)
	}
}

func gzipBomb(t *testing.T, piece string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fill(t, w, piece, n)
	return b.Bytes()
}

func zstdBomb(t *testing.T, piece string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, piece, n)
	return b.Bytes()
}

func fill(t *testing.T, w interface {
	Write([]byte) (int, error)
	Close() error
}, piece string, n int,
) {
	t.Helper()
	for range n {
		if _, err := w.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestInvalidEvents: what parses and is no valid event is denied alone, with the field, and its neighbours are decided.
func TestInvalidEvents(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	long := strings.Repeat("x", 65)
	cases := []struct{ event, code, field string }{
		{`{}`, "invalid_event", "type"},
		{`[]`, "invalid_event", ""},
		{`7`, "invalid_event", ""},
		{`null`, "invalid_event", ""},
		{`"up"`, "invalid_event", ""},
		{`{"type":"UP","product":"p1","device":"d1"}`, "invalid_event", "type"},
		{`{"type":7,"product":"p1","device":"d1"}`, "invalid_event", "type"},
		{`{"type":"up","device":"d1"}`, "invalid_event", "product"},
		{`{"type":"up","product":"","device":"d1"}`, "invalid_event", "product"},
		{`{"type":"up","product":"p 1","device":"d1"}`, "invalid_event", "product"},
		{`{"type":"up","product":"p1/d1","device":"d1"}`, "invalid_event", "product"},
		{`{"type":"up","product":"` + long + `","device":"d1"}`, "invalid_event", "product"},
		{`{"type":"up","product":"p1"}`, "invalid_event", "device"},
		{`{"type":"up","product":"p1","device":"dé"}`, "invalid_event", "device"},
		{`{"type":"up","product":"p1","device":null}`, "invalid_event", "device"},
		{`{"type":"connect","product":"p1","device":"` + long + `"}`, "invalid_event", "device"},
		{`{"type":"up","product":"p1","device":"d1","size":-1}`, "invalid_event", "size"},
		{`{"type":"up","product":"p1","device":"d1","size":1.5}`, "invalid_event", "size"},
		{`{"type":"up","product":"p1","device":"d1","size":"9"}`, "invalid_event", "size"},
		{`{"type":"up","product":"p1","device":"d1","size":2147483648}`, "invalid_event", "size"},
		{`{"type":"up","product":"p1","device":"d1","size":99999999999999999999}`, "invalid_event", "size"},
		{`{"type":"ota","product":"p1","device":"d1"}`, "invalid_event", "size"},
		{`{"type":"ota","product":"p1","device":"d1","size":1099511627777}`, "invalid_event", "size"},
		{`{"type":"ota","product":"p1","device":"d1","size":1,"id":"a b"}`, "invalid_event", "id"},
		{`{"type":"ota_void","product":"p1","device":"d1"}`, "invalid_event", "id"},
		{`{"type":"up","product":"p1","device":"d1","topic":"` + strings.Repeat("t", 257) + `"}`, "invalid_event", "topic"},
		{`{"type":"up","product":"p1","device":"d1","payload":7}`, "invalid_event", "payload"},
		{`{"type":"up","product":"p1","device":"d1","payload_base64":"a*b"}`, "invalid_event", "payload_base64"},
		{`{"type":"up","product":"p1","device":"d1","payload":"","payload_base64":""}`, "invalid_event", "payload_base64"},
		{`{"type":"up","product":"p1","device":"d1","time":"yesterday"}`, "invalid_event", "time"},
		{
			`{"type":"up","product":"p1","device":"d1","payload":"` + strings.Repeat("x", payloadBytesMax+1) + `"}`,
			"payload_too_large",
			"payload",
		},
	}
	before := d.state("p1")
	var lines []string
	for _, c := range cases {
		if c.code != "invalid_event" { // It is the last, and the only one that the log has (R18).
			if d.state("p1") != before {
				t.Error("an invalid event changed something")
			}
		}
		a := d.ask("POST", "/v1/events", c.event)
		if a.status == 200 && strings.HasPrefix(c.event, "[") {
			continue // An array is a batch, here of no events.
		}
		p := a.problem(t)
		wantStatus := map[string]int{"invalid_event": 400, "payload_too_large": 413}[c.code]
		if a.status != wantStatus || p.Code != c.code || p.Field != c.field {
			t.Errorf("%.100s: %d %s, want %s of field %q", c.event, a.status, a.body, c.code, c.field)
		}
		lines = append(lines, c.event)
	}
	if newest := d.logs("p1", "d1")[0]; newest.Verdict != "payload_too_large" || newest.Payload != nil ||
		d.device("p1", "d1").Messages.Up != 1 {
		t.Errorf("the log of a payload that is too large: %+v", newest)
	}
	lines = append(lines, line("up", "p1", "d1"))
	codes := d.batch(lines...)
	for i, code := range codes[:len(codes)-1] {
		if code != "invalid_event" && code != "payload_too_large" {
			t.Errorf("%.100s: %s", lines[i], code)
		}
	}
	if codes[len(codes)-1] != "accepted" || d.device("p1", "d1").Messages.Up != 2 {
		t.Error("the valid event behind invalid ones was not decided")
	}
	// The largest of everything is valid.
	name := long[:64]
	biggest, err := json.Marshal(map[string]any{
		"type": "up", "product": "p1", "device": "d1", "size": 1<<31 - 1, "topic": strings.Repeat("t", 256),
		"payload": strings.Repeat("x", payloadBytesMax), "time": "2026-11-23T10:00:00Z", "id": name,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := d.batch(
		string(biggest),
		line("connect", "p1", name),
		`{"type":"ota","product":"p1","device":"d1","size":0,"id":"`+name+`"}`,
	)
	if strings.Join(got, " ") != "accepted accepted accepted" {
		t.Errorf("the largest of everything: %q", got)
	}
}
