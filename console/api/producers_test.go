package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// send decides a batch of a gateway, with a sequence if it is not 0.
func (d *daemon) send(account, producer string, sequence uint64, lines string) {
	d.t.Helper()
	r := &shard.Request{Batch: &event.Batch{}, Producer: []byte(producer)}
	if a := d.engine.Catalogue().Account(account); a != nil {
		r.Account = a.ID
	}
	if sequence > 0 {
		r.Claim = &claims.Claim{Sequence: sequence}
	}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines)); p != nil {
		d.t.Fatal(p)
	}
	must(d.t, d.engine.Submit(r))
}

// A list of gateways names each with its account, sequences and devices; a bound token sees those of its account.
func TestProducers(t *testing.T) {
	d := newDaemon(t, nil)
	d.create(0, "p")
	account := d.engine.Catalogue().Product([]byte("p")).Account
	d.addToken("viewer", access.RoleViewer, "")
	d.addToken("bound", access.RoleViewer, account)
	line := func(device string) string { return fmt.Sprintf(`{"type":"connect","product":"p","device":%q}`, device) }
	d.expect(201, "POST", "/v1/products/p/lots", `{"order":"L","quantity":10}`)
	d.send("", "gw-1", 5, line("d1")+"\n"+line("d2"))
	d.send("", "gw-1", 9, line("d3"))
	d.send(account, "gw-1", 0, line("d3"))
	d.clock.pass(time.Hour, false)
	d.send(account, "gw-2", 7, line("d4"))
	list := func(token, query string) (names []string, next string) {
		t.Helper()
		ctx, _ := d.ask(request{token: token, method: "GET", uri: "/v1/producers" + query})
		var page struct {
			Producers []json.RawMessage
			Next      *string
		}
		unmarshal(t, ctx.Response.Body(), &page)
		for _, p := range page.Producers {
			names = append(names, string(p))
		}
		if page.Next != nil {
			next = *page.Next
		}
		return names, next
	}
	own := `{"producer":"gw-1","last_sequence":9,"oldest_remembered":5,"last_seen_at":"2026-11-23T10:00:00Z","devices":2}`
	first := fmt.Sprintf(`{"producer":"gw-1","account":%q,"last_sequence":null,"oldest_remembered":null,`+
		`"last_seen_at":"2026-11-23T10:00:00Z","devices":1}`, account)
	second := fmt.Sprintf(`{"producer":"gw-2","account":%q,"last_sequence":7,"oldest_remembered":7,`+
		`"last_seen_at":"2026-11-23T11:00:00Z","devices":1}`, account)
	if got, _ := list(
		"viewer",
		"?devices=true",
	); strings.Join(
		got,
		"\n",
	) != strings.Join(
		[]string{own, first, second},
		"\n",
	) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if got, _ := list("bound", "?devices=true"); strings.Join(got, "\n") != first+"\n"+second {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	got, next := list("bound", "?limit=1")
	if want := strings.Replace(first, `,"devices":1`, "", 1); len(got) != 1 || got[0] != want || next == "" {
		t.Errorf("the first page: %q, %q", got, next)
	}
	if got, next = list(
		"bound",
		"?limit=1&cursor="+next,
	); len(got) != 1 || !strings.Contains(got[0], "gw-2") ||
		next != "" {
		t.Errorf("the second page: %q, %q", got, next)
	}
	for cursor, want := range map[string]string{"gw-1": "gw-1", "gw-1+" + account: "gw-2", "gw-10": "gw-2"} {
		if got, _ = list("viewer", "?limit=1&cursor="+cursor); !strings.Contains(strings.Join(got, ""), `"producer":"`+want) {
			t.Errorf("behind %s: %q", cursor, got)
		}
	}
	if got, _ = list("viewer", "?cursor=gw-3"); len(got) != 0 {
		t.Errorf("behind all: %q", got)
	}
	ctx, _ := d.ask(request{token: "viewer", method: "GET", uri: "/v1/producers?devices=yes"})
	if ctx.Response.StatusCode() != 400 {
		t.Errorf("%d", ctx.Response.StatusCode())
	}
}
