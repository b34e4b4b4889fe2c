package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

var rateLimit = regexp.MustCompile(`^"(messages|ota)";r=(\d+);t=(\d+)$`)

// checkRateLimit checks the two headers of a singly answered message or OTA.
func checkRateLimit(t *testing.T, a answer, name string, quota, window, left uint64) {
	t.Helper()
	policy := fmt.Sprintf(`"%s";q=%d;w=%d`, name, quota, window)
	if got := a.header.Get("RateLimit-Policy"); got != policy {
		t.Errorf("RateLimit-Policy %s, want %s", got, policy)
	}
	m := rateLimit.FindStringSubmatch(a.header.Get("RateLimit"))
	if m == nil || m[1] != name || m[2] != strconv.FormatUint(left, 10) {
		t.Errorf("RateLimit %s, want %q with r=%d", a.header.Get("RateLimit"), name, left)
		return
	}
	if reset, _ := strconv.ParseUint(m[3], 10, 64); reset == 0 || reset > window {
		t.Errorf("RateLimit %s: t is not within the window of %d s", m[0], window)
	}
}

// TestSingleAnswers holds the answer to one single event: status, headers and problem of each verdict.
func TestSingleAnswers(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":3,"ota_per_month":2}`)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 1)
	zone, err := time.Parse("-07:00", d.product("p1").TimeZone)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().In(zone.Location())
	month := uint64(
		time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).
			Sub(time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)) /
			time.Second,
	)
	send := func(body string) answer { t.Helper(); return d.ask("POST", "/v1/events", body) }
	accepted := func(a answer) {
		t.Helper()
		if a.status != 200 || string(a.body) != `{"accepted":1}` || a.header.Get("Content-Type") != asJSON {
			t.Errorf("%d %s, want 200 accepted", a.status, a.body)
		}
	}

	send(line("up", "p1", "d1")).refuse(t, 403, "not_activated")
	a := send(line("connect", "p1", "d1"))
	accepted(a)
	if a.header.Get("RateLimit") != "" {
		t.Error("a connect has no quota, and its answer a RateLimit")
	}
	send(line("connect", "p1", "d2")).refuse(t, 403, "license_exhausted")
	send(line("connect", "nowhere", "d1")).refuse(t, 404, "unknown_product")

	for left := range uint64(3) {
		a := send(line([]string{"up", "down"}[left%2], "p1", "d1"))
		accepted(a)
		checkRateLimit(t, a, "messages", 3, 86400, 2-left)
	}
	a = send(line("up", "p1", "d1"))
	p := a.refuse(t, 429, "message_quota_exceeded")
	checkRateLimit(t, a, "messages", 3, 86400, 0)
	wait, err := strconv.Atoi(a.header.Get("Retry-After"))
	if left := time.Until(p.ResetsAt); err != nil || time.Duration(wait)*time.Second < left {
		t.Errorf("Retry-After %q, the allowance is back in %s", a.header.Get("Retry-After"), left)
	}

	d.topup("p1", "PACK", 1)
	a = send(sized("ota", "p1", "d1", 6<<20))
	accepted(a)
	checkRateLimit(t, a, "ota", 2, month, 1)
	a = send(sized("ota", "p1", "d1", 6<<20))
	p = a.refuse(t, 429, "ota_quota_exceeded")
	if p.Limit != 2 || p.Used != 2 || p.Requested != 2 || p.TopupAvailable != 1 {
		t.Errorf("an OTA that nothing covers: %+v", p)
	}
	checkRateLimit(t, a, "ota", 2, month, 1)
	if a.header.Get("Retry-After") == "" {
		t.Error("a 429 without Retry-After")
	}

	send(`{"type":"ota_void","product":"p1","device":"d1","id":"o1"}`).refuse(t, 409, "unknown_ota")
	send(
		fmt.Sprintf(`{"type":"up","product":"p1","device":"d1","payload":%q}`, strings.Repeat("x", 256<<10+1)),
	).refuse(t, 413, "payload_too_large")
	accepted(send(line("disconnect", "p1", "d1")))
	if v := d.device("p1", "d1"); v.Online || v.Messages.Up != 2 || v.Messages.Down != 1 || v.Messages.Denied != 1 {
		t.Errorf("the view: %+v", v)
	}
}

// TestUnlimitedPlan: null messages are 16,000,000 in the header and null in the view (R10).
func TestUnlimitedPlan(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":null}`)
	d.batch(line("connect", "p1", "d1"))
	checkRateLimit(t, d.ask("POST", "/v1/events", line("up", "p1", "d1")), "messages", 16_000_000, 86400, 15_999_999)
	if v := d.device("p1", "d1"); v.Messages.Limit != nil {
		t.Errorf("limit %d", *v.Messages.Limit)
	}
}

// compress returns body in an encoding.
func compress(t testing.TB, encoding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "snappy":
		w = snappy.NewBufferedWriter(&b)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	default:
		return body
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFormsOfABatch sends the same events as NDJSON and as an array, in every encoding, and compares answers and
// counts.
func TestFormsOfABatch(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":4}`)
	d.credit("p1", "PO-1", 100)
	for _, encoding := range []string{"", "identity", "gzip", "zstd", "snappy"} {
		for _, kind := range []string{asNDJSON, asJSON, "application/json; charset=utf-8"} {
			device := strings.NewReplacer("/", "-", ";", "", "=", "-", " ", "", "+", "").Replace("d-" + encoding + kind)
			lines := []string{
				line("connect", "p1", device),
				line("up", "p1", device),
				line("down", "p1", device),
				sized("up", "p1", device, 7),
				fmt.Sprintf(
					`{"device":%q,"payload":"a\u00e9\n","topic":"t/1","product":"p1","time":"2026-11-23T10:00:00.5+08:00",`+
						`"type":"up","unknown":{"a":[1]}}`,
					device,
				),
				line("up", "p1", device),
				line("fly", "p1", device),
				line("up", "p2", device),
				line("disconnect", "p1", device),
			}
			body := strings.Join(lines, "\r\n\n") + "\n \n"
			if kind != asNDJSON {
				body = " [" + strings.Join(lines, ",\n") + "]\n"
			}
			a := d.ask(
				"POST",
				"/v1/events",
				string(compress(t, encoding, []byte(body))),
				"Content-Type",
				kind,
				"Content-Encoding",
				encoding,
			)
			if a.status != 200 {
				t.Errorf("%s %s: %d %s", encoding, kind, a.status, a.body)
				continue
			}
			var r result
			a.into(t, &r)
			var got []string
			for _, den := range r.Denied {
				got = append(got, fmt.Sprintf("%d %s %s", den.Index, den.Code, den.Field))
			}
			if wanted := []string{
				"5 message_quota_exceeded ",
				"6 invalid_event type",
				"7 unknown_product ",
			}; r.Accepted != 6 ||
				!slices.Equal(got, wanted) {
				t.Errorf("%s %s: %s", encoding, kind, a.body)
			}
			if q := r.Denied[0]; q.Limit != 4 || q.Used != 4 || q.ResetsAt.IsZero() {
				t.Errorf("%s %s: %s", encoding, kind, a.body)
			}
			checkForm(t, d, device)
		}
	}
}

// checkForm checks what the batch of TestFormsOfABatch left.
func checkForm(t *testing.T, d *daemon, device string) {
	t.Helper()
	if v := d.device("p1", device); v.Online || v.Messages.Up != 3 || v.Messages.Down != 1 || v.Messages.Denied != 1 {
		t.Errorf("%s: %+v", device, v)
	}
	list := d.logs("p1", device)
	if len(list) != 7 {
		t.Fatalf("%s: %d log entries", device, len(list))
	}
	var types []string
	for _, e := range list {
		types = append(types, e.Type+" "+strconv.FormatUint(e.DayUsed, 10))
	}
	// Newest first; what one batch decided in one instant is ordered by the day's use alone.
	slices.Sort(types)
	if want := []string{
		"connect 0",
		"disconnect 4",
		"down 2",
		"up 1",
		"up 3",
		"up 4",
		"up 4",
	}; !slices.Equal(
		types,
		want,
	) {
		t.Errorf("%s: the log holds %q", device, types)
	}
	at := slices.IndexFunc(list, func(e logView) bool { return e.Payload != nil })
	if at < 0 || *list[at].Payload != "aé\n" || *list[at].Topic != "t/1" || list[at].Size != 4 ||
		list[at].Verdict != "accepted" {
		t.Errorf("%s: the payload is not in the log as it was sent", device)
	}
}

// TestBinaryPayload: what is not UTF-8 comes back as base64, and a denied event's payload is not kept (R18).
func TestBinaryPayload(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":1}`)
	d.batch(
		line("connect", "p1", "d1"),
		`{"type":"up","product":"p1","device":"d1","payload_base64":"/wAB/g=="}`,
		`{"type":"up","product":"p1","device":"d1","payload":"secret","topic":"t"}`,
	)
	list := d.logs("p1", "d1")
	for _, e := range list {
		switch {
		case e.Verdict == "message_quota_exceeded":
			if e.Payload != nil || e.PayloadBase64 != nil || e.Size != 6 {
				t.Errorf("denied: %+v", e)
			}
		case e.Type == "up":
			if !bytes.Equal(e.PayloadBase64, []byte{0xff, 0, 1, 0xfe}) || e.Payload != nil || e.Size != 4 {
				t.Errorf("accepted: %+v", e)
			}
		}
	}
	if len(list) != 3 {
		t.Errorf("%d entries", len(list))
	}
}

// TestPagedLog: pages of a log, and of the lists, put together are the whole, while events go on.
func TestPagedLog(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":1000}`)
	d.batch(line("connect", "p1", "d1"))
	for i := range 25 {
		d.batch(repeat(i+1, line("up", "p1", "d1"))...)
	}
	var used []uint64
	for cursor, path := "", "/v1/products/p1/devices/d1/logs?limit=7&type=up"; ; {
		var page struct {
			Logs []logView
			Next *string
		}
		d.must("GET", path+cursor, "", &page)
		for _, e := range page.Logs {
			used = append(used, e.DayUsed)
		}
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
		d.batch(line("up", "p1", "d1")) // Newer than what was read: it must not move the pages.
	}
	if len(used) != 325 || used[0] != 325 || used[324] != 1 ||
		!slices.IsSortedFunc(used, func(a, b uint64) int { return int(b) - int(a) }) {
		t.Errorf("%d entries: %v", len(used), used)
	}
}

// TestAnswersAreJSON: no answer of the API is anything but JSON, whatever was asked.
func TestAnswersAreJSON(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{}`)
	for _, path := range []string{
		"/v1/accounts", "/v1/accounts/p1", "/v1/accounts/p1/licenses", "/v1/products", "/v1/products?account=p1",
		"/v1/products/p1",
		"/v1/products/p1/lots", "/v1/products/p1/topups", "/v1/products/p1/licenses", "/v1/products/p1/devices", "/v1/audit",
		"/v1/products/p1/devices/never/logs",
	} {
		a := d.ask("GET", path, "")
		if a.status != 200 || !json.Valid(a.body) || a.header.Get("Content-Type") != asJSON {
			t.Errorf("%s: %d %s %s", path, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
}
