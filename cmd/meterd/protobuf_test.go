package main_test

import (
	"bytes"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const asProtobuf = "application/x-protobuf"

// protoc runs the stock compiler on a message of the published batch.proto, as a gateway engineer would by hand.
func protoc(t *testing.T, mode string, in []byte) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), "protoc", mode, "-I", "../../event/proto/meterd/v1", "batch.proto")
	c.Stdin = bytes.NewReader(in)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("protoc %s: %v: %s", mode, err, errs.String())
	}
	return out
}

// Stock protobuf tools write a batch and read its answer: tables, columns and indexes; what is denied; and the raw log
// has it all.
func TestProtobufByStockTools(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":3,"message_unit_bytes":64}`)
	d.withProduct("p2", `{}`)
	d.credit("p1", "PO-1", 2)
	ask := func(text string, header ...string) (answer, string) {
		t.Helper()
		a, err := d.try(
			"POST",
			"/v1/events",
			protoc(t, "--encode=meterd.v1.Batch", []byte(text)),
			append(header, "Content-Type", asProtobuf)...)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 200 {
			return a, string(a.body)
		}
		if kind := a.header.Get("Content-Type"); kind != asProtobuf {
			t.Errorf("the answer is %s", kind)
		}
		return a, strings.Join(strings.Fields(string(protoc(t, "--decode=meterd.v1.Answer", a.body))), " ")
	}
	// One product, a device each, then indexes into a table; the last two are one too many and of nobody.
	const first = `products: "p1" devices: "d1" devices: "d2" device_indexes: [0, 1, 0, 0, 1, 0]
		types: [TYPE_CONNECT, TYPE_CONNECT, TYPE_UP, TYPE_DOWN, TYPE_UP, TYPE_UP] sizes: [0, 0, 64, 0, 129, 65]
		payloads: "" payloads: "" payloads: "a\000b" payloads: "21.5 °C" payloads: "" payloads: "late"
		topics: "t/1" times_ms: [0, 0, 1764000000123, 0, 0, 0]`
	a, text := ask(first, "Meterd-Producer", "gw", "Meterd-Sequence", "7")
	resets := d.device("p1", "d1").Messages.ResetsAt.UnixMilli()
	want := `accepted: 5 denied { index: 5 code: "message_quota_exceeded" limit: 3 used: 2 resets_at_ms: ` +
		strconv.FormatInt(resets, 10) + ` }`
	if text != want {
		t.Errorf("answered %s\nwant     %s", text, want)
	}
	if v := d.device(
		"p1",
		"d1",
	); v.Messages.Up != 1 || v.Messages.Down != 1 || v.Messages.Denied != 2 || v.Holder == nil ||
		*v.Holder != "gw" {
		t.Errorf("d1: %+v", v)
	}
	if v := d.device("p1", "d2"); v.Messages.Up != 3 {
		t.Errorf("d2: %+v", v)
	}
	if logs := d.logs("p1", "d1"); len(logs) != 4 {
		t.Errorf("the log of d1: %+v", logs)
	}
	body := protoc(t, "--encode=meterd.v1.Batch", []byte(first))
	d.kill()
	d.start()
	d.sequenced("gw", "7", asProtobuf, string(body)).replays(t, a)
	d.sequenced("gw", "7", asProtobuf+"; proto=meterd.v1.Batch", string(compress(t, "zstd", body)), "Content-Encoding",
		"zstd").
		replays(t, a)
	d.sequenced("gw", "7", asProtobuf, string(body)+"\x60\x01").refuse(t, 422, "sequence_reused")
	d.sequenced("gw", "7", asNDJSON, line("up", "p1", "d1")).refuse(t, 422, "sequence_reused")

	for _, c := range []struct{ text, want string }{
		{`types: [TYPE_UP]`, `denied { code: "invalid_event" field: "product" detail: "is needed" }`},
		{
			`products: "p1" devices: "x y" devices: "d3" types: [TYPE_UP, TYPE_UP] sizes: [1, 2]`,
			`denied { code: "invalid_event" field: "device" detail: "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -" } denied { ` +
				`index: 1 code: "not_activated" }`,
		},
		{
			`products: "p1" products: "nowhere" products: "p1" devices: "d1" ` +
				`types: [TYPE_DISCONNECT, TYPE_UP, TYPE_UNSPECIFIED]`,
			`accepted: 1 denied { index: 1 code: "unknown_product" } denied { index: 2 code: "invalid_event" field: "type" ` +
				`detail: "is needed" }`,
		},
		{
			`products: "p1" devices: "d1" types: [TYPE_OTA, TYPE_OTA_VOID, TYPE_OTA_VOID] sizes: [5242880, 0, 0] ids: "u1" ` +
				`ids: "u1" ids: "u2"`, `accepted: 2 denied { index: 2 code: "unknown_ota" }`,
		},
	} {
		if _, got := ask(c.text); got != c.want {
			t.Errorf("%s\nanswered %s\nwant     %s", c.text, got, c.want)
		}
	}
	d.must("PUT", "/v1/accounts/p2/suspended", `{"suspended":true}`, nil)
	if _, got := ask(
		`products: "p2" devices: "d1" types: [TYPE_CONNECT]`,
	); got != `denied { code: "suspended" scope: "account" }` {
		t.Error(got)
	}
	before := d.state("p1")
	for _, text := range []string{
		``, `products: "p1"`, `types: [TYPE_UP, TYPE_UP] sizes: [1]`,
		`types: [TYPE_UP] products: "p1" device_indexes: [1] devices: "d1"`,
	} {
		if a, _ := ask(text); a.status != 400 || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", text, a.status, a.body)
		}
	}
	if after := d.state("p1"); after != before {
		t.Errorf("a refused batch changed something:\n%s\n%s", before, after)
	}
}
