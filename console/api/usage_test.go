package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// failingUsage is queries whose usage breaks off.
type failingUsage struct{ *query.Reader }

func (f failingUsage) Usage(query.UsageQuery) (*query.Usage, error) { return nil, shard.ErrLedgerLags }

// withUsage returns a daemon with products that were used in several hours.
func withUsage(t *testing.T, change func(*Options)) *daemon {
	d := newDaemon(t, change)
	d.ask(request{token: "admin", method: "POST", uri: "/v1/accounts", body: `{"account":"acme","kind":"enterprise"}`})
	for i := range 4 {
		body := fmt.Sprintf(`{"product":"p%d","account":"acme"}`, i)
		d.ask(request{token: "admin", method: "POST", uri: "/v1/products", body: body})
		d.submit("", fmt.Sprintf(`{"type":"connect","product":"p%d","device":"d"}`, i))
	}
	for range 5 {
		d.clock.pass(3600e9, false)
		for i := range 4 {
			d.submit("", fmt.Sprintf(`{"type":"up","product":"p%d","device":"d","size":1}`, i))
		}
	}
	return d
}

// A long answer is sent while it is made, and is the same one.
func TestUsageIsStreamed(t *testing.T) {
	d := withUsage(t, nil)
	for _, accept := range []string{mediaJSON, mediaCSV} {
		r := request{
			token: "admin", method: "GET", uri: "/v1/usage?account=acme&window=hour&from=2019-01-01T00:00:00Z",
			header: map[string]string{"Accept": accept},
		}
		d.handler.usageBody = usageBodyBytes
		ctx, _ := d.ask(r)
		whole := bytes.Clone(ctx.Response.Body())
		d.handler.usageBody = 1
		ctx, conn := d.ask(r)
		if !ctx.Response.IsBodyStream() {
			t.Fatal("it is not streamed")
		}
		if streamed := ctx.Response.Body(); !bytes.Equal(streamed, whole) || conn.closed.Load() {
			t.Errorf("streamed\n%s\nwhole\n%s", streamed, whole)
		}
		if rows := strings.Count(string(whole), "p3"); rows != 6 {
			t.Errorf("%d rows of p3 in\n%s", rows, whole)
		}
		if accept == mediaJSON && !json.Valid(whole) {
			t.Errorf("%s is no JSON", whole)
		}
		if n := d.handler.usages.count(); n != 0 {
			t.Errorf("%d still read", n)
		}
	}
}

// A ledger that cannot be asked, and too many who ask, are told so; each place is given back.
func TestUsageIsRefused(t *testing.T) {
	d := withUsage(t, func(o *Options) { o.Queries = failingUsage{o.Queries.(*query.Reader)} })
	get := func() int {
		ctx, _ := d.ask(request{token: "admin", method: "GET", uri: "/v1/usage?account=acme"})
		return ctx.Response.StatusCode()
	}
	for range usageReadersMax + 1 {
		if status := get(); status != 503 {
			t.Fatalf("without a ledger %d", status)
		}
	}
	d.handler.queries = d.queries
	for range usageReadersATokenMax {
		d.handler.usages.enter("admin")
	}
	if status := get(); status != 503 {
		t.Errorf("with all places taken %d", status)
	}
	d.handler.usages.leave("admin")
	if status := get(); status != 200 {
		t.Errorf("with one place left %d", status)
	}
}
