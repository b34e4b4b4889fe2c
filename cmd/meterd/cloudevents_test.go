package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What bodies of CloudEvents are.
const (
	asCloudEvent  = "application/cloudevents+json"
	asCloudEvents = "application/cloudevents-batch+json"
)

// cloud is a CloudEvent as a library sends it; data may be "".
func cloud(typ, subject, id, data string) string {
	if data != "" {
		data = `,"datacontenttype":"application/json","data":` + data
	}
	return fmt.Sprintf(
		`{"specversion":"1.0","id":%q,"source":"/gateways/7","type":"io.meterd.%s","subject":%q,`+
			`"time":"2026-11-23T10:00:00Z","traceparent":"00-1"%s}`,
		id,
		typ,
		subject,
		data,
	)
}

// TestCloudEventsAlone holds the answer to one CloudEvent, which is that to the same event in JSON.
func TestCloudEventsAlone(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":3,"ota_per_month":3}`)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 1)
	send := func(body string) answer {
		t.Helper()
		return d.ask("POST", "/v1/events", body, "Content-Type", asCloudEvent+"; charset=UTF-8")
	}
	accepted := func(a answer) {
		t.Helper()
		if a.status != 200 || string(a.body) != `{"accepted":1}` || a.header.Get("Content-Type") != asJSON {
			t.Errorf("%d %s, want 200 accepted", a.status, a.body)
		}
	}
	send(cloud("up", "p1/d1", "1", "")).refuse(t, 403, "not_activated")
	accepted(send(cloud("connect", "p1/d1", "2", "")))
	send(cloud("connect", "p1/d2", "3", "")).refuse(t, 403, "license_exhausted")
	send(cloud("connect", "nowhere/d1", "4", "")).refuse(t, 404, "unknown_product")
	// Every CloudEvent has an id; a message's may be anything. Sent again, it counts nothing.
	for left, id := range []string{"7f / 温", "7f / 水", strings.Repeat("x", 300)} {
		for range 2 {
			a := send(cloud("up", "p1/d1", id, `{"size":10,"topic":"t","payload":"21.5 °C"}`))
			accepted(a)
			checkRateLimit(t, a, "messages", 3, 86400, uint64(2-left))
		}
	}
	a := send(cloud("down", "p1/d1", "5", `{"size":10}`))
	if p := a.refuse(t, 429, "message_quota_exceeded"); p.Limit != 3 || a.header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", a.body, a.header.Get("Retry-After"))
	}
	// The id of an OTA is that of R17.
	for range 2 {
		accepted(send(cloud("ota", "p1/d1", "u1", `{"size":6291456}`)))
	}
	send(cloud("ota", "p1/d1", "u1", `{"size":1}`)).refuse(t, 409, "ota_id_reused")
	if o := d.device("p1", "d1").OTA; o.AllowanceUsed != 2 {
		t.Errorf("an OTA of 6 MB that was sent twice: %+v", o)
	}
	accepted(send(cloud("ota_void", "p1/d1", "u1", "")))
	send(cloud("ota_void", "p1/d1", "u1", "")).refuse(t, 409, "already_voided")
	for field, body := range map[string]string{
		"specversion": strings.Replace(cloud("up", "p1/d1", "6", ""), "1.0", "0.3", 1),
		"type":        strings.Replace(cloud("up", "p1/d1", "6", ""), "io.meterd.", "com.example.", 1),
		"subject":     cloud("up", "p1", "6", ""),
		"data":        cloud("up", "p1/d1", "6", `"21.5"`),
		"data_base64": strings.Replace(cloud("up", "p1/d1", "6", `"AP+/"`), `"data":`, `"data_base64":`, 1),
		"size":        cloud("ota", "p1/d1", "6", `{"topic":"t"}`),
		"id":          cloud("ota", "p1/d1", "6/7", `{"size":1}`),
		"time":        strings.Replace(cloud("up", "p1/d1", "6", ""), "T10", " at 10", 1),
		"":            "[" + cloud("up", "p1/d1", "6", "") + "]",
	} {
		if p := send(body).refuse(t, 400, "invalid_event"); p.Field != field {
			t.Errorf("%s: field %q, want %q", body, p.Field, field)
		}
	}
	accepted(send(cloud("disconnect", "p1/d1", "8", "")))
	list := d.logs("p1", "d1")
	i := slices.IndexFunc(list, func(e logView) bool { return e.Type == "up" && e.Verdict == "accepted" })
	if i < 0 || list[i].Size != 10 || list[i].Topic == nil || *list[i].Topic != "t" || list[i].Payload == nil ||
		*list[i].Payload != "21.5 °C" {
		t.Errorf("the log has not what was sent: %+v", list)
	}
}

// TestCloudEventsBatch sends the same events as CloudEvents and as JSON, in every encoding, and compares the answers.
func TestCloudEventsBatch(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":2}`)
	d.credit("p1", "PO-1", 100)
	for _, encoding := range []string{"", "gzip", "zstd", "snappy"} {
		c, j := "c"+encoding, "j"+encoding
		events := []struct{ cloud, json string }{
			{cloud("up", "p1/"+c, c+"1", ""), line("up", "p1", j)},
			{cloud("connect", "p1/"+c, c+"2", ""), line("connect", "p1", j)},
			{
				cloud("up", "p1/"+c, c+"3", `{"payload_base64":"AP+/"}`),
				`{"type":"up","product":"p1","device":"` + j + `","payload_base64":"AP+/"}`,
			},
			{cloud("down", "p1/"+c, c+"4", `{"size":7}`), sized("down", "p1", j, 7)},
			{cloud("up", "p1/"+c, c+"5", `{"size":7}`), sized("up", "p1", j, 7)},
			{cloud("up", "p1/"+c, c+"6", `{"size":-7}`), sized("up", "p1", j, -7)},
			{cloud("up", "p2/"+c, c+"7", ""), line("up", "p2", j)},
			{`7`, `7`},
			{
				cloud("up", "p1/"+c, c+"8", `{"payload":"`+strings.Repeat("x", payloadBytesMax+1)+`"}`),
				`{"type":"up","product":"p1","device":"` + j + `","payload":"` + strings.Repeat("x", payloadBytesMax+1) + `"}`,
			},
			{cloud("ota_void", "p1/"+c, "u", ""), withID("ota_void", j, "u", 0)},
		}
		var asCloud, asPlain []string
		for _, e := range events {
			asCloud, asPlain = append(asCloud, e.cloud), append(asPlain, e.json)
		}
		send := func(kind string, events []string) answer {
			body := "[" + strings.Join(events, ",\n") + "]"
			return d.ask(
				"POST",
				"/v1/events",
				string(compress(t, encoding, []byte(body))),
				"Content-Type",
				kind,
				"Content-Encoding",
				encoding,
			)
		}
		a, b := send(asCloudEvents, asCloud), send(asJSON, asPlain)
		if a.status != 200 || a.signature() != b.signature() {
			t.Errorf("%q as CloudEvents:\n%s\nas JSON:\n%s", encoding, a.signature(), b.signature())
		}
		if v, w := d.device(
			"p1",
			c,
		), d.device(
			"p1",
			j,
		); v.Messages.Up != 1 || v.Messages.Down != 1 || v.Messages.Denied != 1 ||
			w.Messages.Up != 1 {
			t.Errorf("%q: %+v, %+v", encoding, v.Messages, w.Messages)
		}
	}
}

// TestMalformedCloudEvents: what is no JSON, or no array where one must be, is refused whole and changes nothing.
func TestMalformedCloudEvents(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	array := "[" + cloud("connect", "p1/new", "1", "") + ",\n" + cloud("up", "p1/d1", "2", "")
	var cases []badBatch
	add := func(kind, body string, status int, code string, line int, field, says string) {
		cases = append(cases, badBatch{fmt.Sprintf("%.60q", body), kind, "", []byte(body), status, code, field, line, says})
	}
	add(asCloudEvents, "", 400, "bad_request", 0, "", "no event")
	add(asCloudEvent, "\n", 400, "bad_request", 0, "", "no event")
	add(asCloudEvents, array, 400, "bad_request", 2, "", "end of the body")
	add(asCloudEvents, array+",]", 400, "bad_request", 2, "", "found ]")
	add(asCloudEvents, array+",\n{\"data\":{\"size\":01}}]", 400, "bad_request", 3, "", "found 1")
	add(asCloudEvents, array+",\n{\"data\":{\"topic\":\"\xff\"}}]", 400, "bad_request", 3, "topic", "UTF-8")
	add(asCloudEvents, cloud("up", "p1/d1", "1", ""), 400, "bad_request", 1, "", "an array")
	add(asCloudEvents, array+strings.Repeat(",1", eventsMax)+"]", 413, "body_too_large", 2, "", "65536 events")
	one := cloud("up", "p1/d1", "1", "")
	add(asCloudEvent, one[:len(one)-1], 400, "bad_request", 1, "", "end of the body")
	add(asCloudEvent, one+one, 400, "bad_request", 1, "", "found {")
	d.refuseWhole(t, cases)
}

// TestCloudEventsAgain: a sequence answers CloudEvents again as the first time, and the same bytes under another name
// are another body.
func TestCloudEventsAgain(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	up := cloud("up", "p1/d1", "1", `{"size":5}`)
	bodies := []struct{ kind, body string }{
		{asCloudEvent, up},
		{asCloudEvent, cloud("up", "p1/d9", "1", "")},
		{asCloudEvent, cloud("fly", "p1/d1", "1", "")},
		{asCloudEvent, cloud("ota", "p1/d1", "u1", `{"size":1}`)},
		{asCloudEvents, "[" + up + "," + cloud("up", "p1", "2", "") + "," + cloud("up", "p1/d9", "3", "") + "]"},
		{asCloudEvents, "[]"},
	}
	first := make([]answer, len(bodies))
	for i, b := range bodies {
		first[i] = d.sequenced("gw", fmt.Sprint(i), b.kind, b.body)
	}
	if codes := fmt.Sprint(statuses(first)); codes != "[200 403 400 200 200 200]" {
		t.Errorf("answered %s", codes)
	}
	before := d.state("p1")
	for range 2 {
		for i, b := range bodies {
			d.sequenced("gw", fmt.Sprint(i), b.kind, string(compress(t, "gzip", []byte(b.body))), "Content-Encoding", "gzip").
				replays(t, first[i])
			d.sequenced("gw", fmt.Sprint(i), asJSON, b.body).refuse(t, 422, "sequence_reused")
			d.sequenced("gw", fmt.Sprint(i), b.kind, strings.Replace(b.body, "]", " ]", 1)+" ").refuse(t, 422, "sequence_reused")
		}
		if after := d.state("p1"); after != before {
			t.Errorf("a replay changed something:\n%s\n%s", before, after)
		}
		d.kill()
		d.start()
	}
	// Refused whole, a sequence stays free.
	d.sequenced("gw", "100", asCloudEvents, up).refuse(t, 400, "bad_request")
	d.sequenced("gw", "100", asCloudEvent, up).fresh(t)
}
