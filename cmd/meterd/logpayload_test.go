package main_test

import (
	"fmt"
	"slices"
	"testing"
)

// TestLogPayload: --log-payload and a product's switch cut what is logged of payloads and nothing else: size, verdicts
// and retries are those of the body as it was sent. The switch survives kill -9 and a restart with another flag.
func TestLogPayload(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--log-payload", "4")
	d.withProduct("p1", `{"messages_per_day":8}`)
	d.batch(line("connect", "p1", "d1"))
	up := func(payload string) string {
		return fmt.Sprintf(`{"type":"up","product":"p1","device":"d1","payload":%q}`, payload)
	}
	var want []string // newest first
	entries := func() {
		t.Helper()
		var have []string
		for _, e := range d.logs("p1", "d1") {
			if e.Type != "up" {
				continue
			}
			payload := "-"
			if e.Payload != nil {
				payload = *e.Payload
			}
			have = append(have, fmt.Sprint(e.Size, " ", payload, " ", e.PayloadTruncated, " ", e.Verdict))
		}
		if !slices.Equal(have, want) {
			t.Fatalf("the log is\n%q, want\n%q", have, want)
		}
	}
	sent := func(payload, entry string) {
		t.Helper()
		d.batch(up(payload))
		want = slices.Insert(want, 0, entry)
		entries()
	}
	sent("four", "4 four false accepted")
	sent("12345", "5 1234 true accepted")
	sent("abc°", "5 abc true accepted")

	first := d.sequenced("gw", "1", asJSON, up("same beginning")).fresh(t)
	d.sequenced("gw", "1", asJSON, up("same beginning")).replays(t, first)
	d.sequenced("gw", "1", asJSON, up("same but for the end")).refuse(t, 422, "sequence_reused")
	want = slices.Insert(want, 0, "14 same true accepted")
	entries()

	d.must("PUT", "/v1/products/p1/log-payload", `{"keep":"none"}`, nil)
	sent("1", "1 - true accepted")
	d.kill()
	d.flags = nil
	d.start()
	d.sequenced("gw", "1", asJSON, up("same beginning")).replays(t, first)
	sent("2", "1 - true accepted")
	if keep := d.ctl("products", "log-payload", "get", "p1"); keep != "keep  none\n" {
		t.Errorf("ctl shows %q", keep)
	}
	d.ctl("products", "log-payload", "set", "p1", "full")
	sent("whole again", "11 whole again false accepted")
	sent("", "0 - false accepted")
	sent("denied", "6 - true message_quota_exceeded")
	d.restart()
	entries()
	verify(t, d.data, 0, "no difference")
}
