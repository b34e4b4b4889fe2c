package ingest

import (
	"errors"
	"strings"
	"testing"

	"github.com/meterd/meterd/license"
)

// A producer is deleted by gateways and administrators, in their own token's space of names: it is unknown then, and
// the sequences of the next one of its name are its own.
func TestDeleteProducer(t *testing.T) {
	d := newGuardedDoor(t)
	for _, step := range []struct{ token, call, want string }{
		{"gateway-of-acme", "DELETE /v1/producers/gw", `404 `},
		{"gateway-of-acme", connect("pa"), `200 {"accepted":1}`},
		{"", "DELETE /v1/producers/gw", "401 "},
		{"viewer-of-acme", "DELETE /v1/producers/gw", "403 "},
		{"billing", "DELETE /v1/producers/gw", "403 "},
		{"gateway", "DELETE /v1/producers/gw", "404 "},
		{"gateway-of-acme", "DELETE /v1/producers/gw?before=1", "400 "},
		{"admin", "DELETE /v1/producers/gw", "404 "},
		{"gateway-of-acme", "GET /v1/producers/gw", `200 {"producer":"gw","last_sequence":null`},
		{"gateway-of-acme", "PUT /v1/producers/gw", "405 "},
		{"admin-of-acme", "DELETE /v1/producers/gw", "204 "},
		{"admin-of-acme", "DELETE /v1/producers/gw", "404 "},
		{"gateway-of-acme", "GET /v1/producers/gw", "404 "},
	} {
		ctx := d.ask(d.handler, step.token, step.call)
		if got := said(ctx); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s, %s: %s, want %s", step.token, step.call, got, step.want)
		}
		if strings.HasPrefix(step.want, "405") && string(ctx.Response.Header.Peek("Allow")) != "GET, DELETE" {
			t.Errorf("allowed is %q", ctx.Response.Header.Peek("Allow"))
		}
	}
	d.answeredAs(d.sequenced("gateway-of-acme", "gw", "1"), 200, false)
	d.answeredAs(d.sequenced("gateway-of-acme", "gw", "1"), 200, true)
	d.answeredAs(d.ask(d.handler, "gateway-of-acme", "DELETE /v1/producers/gw"), 204, false)
	d.answeredAs(d.sequenced("gateway-of-acme", "gw", "1"), 200, false)
	var forgotten []string
	d.must(errors.Join(d.engine.DurableInLedger(), d.ledger.Audit(0, func(e license.AuditEntry) bool {
		if e.Action == "producer.forget" {
			forgotten = append(forgotten, e.Token+" "+e.Target)
		}
		return true
	})))
	if got := strings.Join(forgotten, ", "); got != "gateway-of-acme gw, admin-of-acme gw" {
		t.Errorf("audited: %s", got)
	}
}
