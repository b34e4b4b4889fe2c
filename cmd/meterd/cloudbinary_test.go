package main_test

import (
	"slices"
	"strings"
	"testing"
)

// binary sends a CloudEvent in binary mode; more are header fields, an empty value takes one away.
func (d *daemon) binary(typ, subject, id, contentType, body string, more ...string) answer {
	d.t.Helper()
	return d.ask("POST", "/v1/events", body, append([]string{
		"ce-specversion", "1.0", "ce-type", "io.meterd." + typ, "ce-source", "/gateways/7", "ce-id", id,
		"ce-subject", subject, "ce-time", "2026-11-23T10:00:00Z", "ce-traceparent", "00-1", "Content-Type", contentType,
	}, more...)...)
}

// TestCloudEventsBinary: a CloudEvent whose attributes are header fields is answered as one whose are members.
func TestCloudEventsBinary(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":4}`)
	accepted := func(a answer) {
		t.Helper()
		if a.status != 200 || string(a.body) != `{"accepted":1}` || a.header.Get("Content-Type") != asJSON {
			t.Errorf("%d %s, want 200 accepted", a.status, a.body)
		}
	}
	d.binary("up", "p1/d1", "1", asJSON, "").refuse(t, 403, "not_activated")
	accepted(d.binary("connect", "p1/d1", "2", "", ""))
	accepted(d.binary("up", "p1/d1", "3", "application/vnd.acme+json", `{"size":10,"topic":"t","payload":"21.5 °C"}`))
	a := d.binary("up", "p1%2Fd1", "4%20%E6%B8%A9", "application/octet-stream", "\x00\xff{", "ce-type", `"io.meterd.u\p"`)
	accepted(a)
	checkRateLimit(t, a, "messages", 4, 86400, 2)
	zipped := string(compress(t, "gzip", []byte("25.1 °C")))
	accepted(d.binary("down", "p1/d1", "5", "text/plain", zipped, "Content-Encoding", "gzip"))
	// The attributes of a structured event are copied to the header for routers: the body counts.
	accepted(d.binary("fly", "p1/d9", "6", asCloudEvent, cloud("up", "p1/d1", "6", "")))
	d.binary("up", "p1/d1", "7", asJSON, "").refuse(t, 429, "message_quota_exceeded")
	for field, a := range map[string]answer{
		"specversion": d.binary("up", "p1/d1", "8", asJSON, "", "ce-specversion", ""),
		"type":        d.binary("fly", "p1/d1", "8", asJSON, ""),
		"subject":     d.binary("up", "p1%252Fd1", "8", asJSON, ""),
		"data":        d.binary("up", "p1/d1", "8", asJSON, `"21.5"`),
		"size":        d.binary("ota", "p1/d1", "8", "application/octet-stream", "firmware"),
		"id":          d.binary("ota", "p1/d1", "8/9", asJSON, `{"size":1}`),
		"time":        d.binary("up", "p1/d1", "8", asJSON, "", "ce-time", "noon"),
		"payload":     d.binary("up", "p1/d1", "8", asJSON, `{"payload":7}`),
	} {
		if p := a.refuse(t, 400, "invalid_event"); p.Field != field {
			t.Errorf("%s: field %q, want %q", a.body, p.Field, field)
		}
	}
	d.binary("up", "p1/d1", "9", asJSON, `{"size":`).refuse(t, 400, "bad_request")
	d.binary("up", "p1/d1", "9", "text/plain", strings.Repeat("x", payloadBytesMax+1)).
		refuse(t, 413, "payload_too_large")
	if m := d.device("p1", "d1").Messages; m.Up != 3 || m.Down != 1 || m.Denied != 1 {
		t.Errorf("%+v", m)
	}
	list := d.logs("p1", "d1")
	i := slices.IndexFunc(list, func(e logView) bool { return string(e.PayloadBase64) == "\x00\xff{" })
	if i < 0 || list[i].Size != 3 || list[i].Verdict != "accepted" {
		t.Errorf("the log has not the payload that was the body: %+v", list)
	}

	// A sequence belongs to the attributes, too.
	first := d.binary("up", "p1/d1", "10", asJSON, "", "Meterd-Producer", "gw", "Meterd-Sequence", "1")
	d.binary("up", "p1/d1", "10", asJSON, "", "Meterd-Producer", "gw", "Meterd-Sequence", "1").replays(t, first)
	d.binary("up", "p1/d1", "11", asJSON, "", "Meterd-Producer", "gw", "Meterd-Sequence", "1").
		refuse(t, 422, "sequence_reused")
}
