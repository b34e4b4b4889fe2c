package main_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/cluster/route"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// oneOwner is a board on which one daemon owns everything.
type oneOwner string

// Owner implements route.Board.
func (o oneOwner) Owner(int) (node, address string, epoch uint64, ok bool) {
	return "n1", string(o), 1, true
}

func (oneOwner) LetGo(int) time.Time { return time.Time{} }

func (oneOwner) Changed() <-chan struct{} { return nil }

// routed starts a node's router in front of a daemon and returns its address.
func routed(t testing.TB, address string) string {
	t.Helper()
	r, err := route.New(route.Options{
		Cells: 1, Board: oneOwner(address), Hop: "key", Catalogues: func(int) *license.Catalogue { return nil },
		Documents: func(ctx *fasthttp.RequestCtx) { ctx.Error("here are no documents", fasthttp.StatusNotFound) },
		Metrics:   func() []metric.Part { return nil }, Leaving: func() bool { return false }, Loopback: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := ingest.Listen("127.0.0.1:0", nil, r.Handle, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go r.Run(ctx)
	t.Cleanup(func() {
		cancel() // Its connections end, and so does what waits for them.
		ending, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := server.Shutdown(ending); err != nil {
			t.Log(err) // A client of the test was left behind.
		}
	})
	return server.Address().String()
}

// throughRouter has all tests of this folder ask their daemons through a node's router: what they say must hold there,
// too. Those about connections, metrics and documents are about a daemon itself.
func (d *daemon) throughRouter(address string) string {
	if os.Getenv("METERD_TEST_ROUTED") == "" || slices.Contains(d.flags, "--tls-cert") {
		return address
	}
	return routed(d.t, address)
}

// What a gateway and a billing system get through another node is what the daemon answers, byte for byte.
func TestThroughRouter(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":3}`)
	direct := d.run.address
	there := routed(t, direct)
	through := func(method, path, body string, header ...string) answer {
		d.run.address = there
		defer func() { d.run.address = direct }()
		return d.ask(method, path, body, header...)
	}
	d.run.address = there
	ear := d.listen("", "")
	d.run.address = direct
	lines := append([]string{line("connect", "p1", "d1")}, repeat(5, line("up", "p1", "d1"))...)
	sequenced := []string{"Content-Type", asNDJSON, "Meterd-Producer", "gw", "Meterd-Sequence", "1"}
	first := through("POST", "/v1/events", strings.Join(lines, "\n"), sequenced...)
	again := d.ask("POST", "/v1/events", strings.Join(lines, "\n"), sequenced...)
	if string(first.body) != string(again.body) || first.header.Get("Meterd-Replayed") != "" {
		t.Errorf("first %s, again %s", first.body, again.body)
	}
	again = through("POST", "/v1/events", strings.Join(lines, "\n"), sequenced...)
	if string(first.body) != string(again.body) || again.header.Get("Meterd-Replayed") != "true" {
		t.Errorf("first %s, again %s %v", first.body, again.body, again.header)
	}
	denied := through("POST", "/v1/events", line("up", "p1", "d1"))
	denied.refuse(t, http.StatusTooManyRequests, "message_quota_exceeded")
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
		if denied.header.Get(name) == "" {
			t.Errorf("no %s in %v", name, denied.header)
		}
	}
	through("GET", "/v1/accounts", "", "Authorization", "Bearer wrong").refuse(t, http.StatusUnauthorized, "unauthorized")
	through("POST", "/v1/products/p1/lots", `{"order":"PO-9","quantity":1}`)
	if got := ear.next().String(); got != "refresh p1" {
		t.Errorf("heard %q", got)
	}

	var sealed snapshotView
	d.must("POST", "/v1/snapshots", `{}`, &sealed)
	for _, path := range []string{
		"/v1/products/p1/devices/d1/logs", "/v1/usage?account=acme&window=hour", "/v1/audit?limit=3",
		"/v1/snapshots/" + sealed.ID + "/devices.parquet", "/v1/nothing",
	} {
		for _, header := range [][]string{nil, {"Accept", asNDJSON}, {"Range", "bytes=3-9"}} {
			a, b := d.ask("GET", path, "", header...), through("GET", path, "", header...)
			if a.status != b.status || string(a.body) != string(b.body) {
				t.Errorf("%s %v: %d %q, through the router %d %q", path, header, a.status, a.body, b.status, b.body)
			}
			h := through("HEAD", path, "", header...)
			if h.status != a.status || len(h.body) > 0 {
				t.Errorf("HEAD %s %v: %d", path, header, h.status)
			}
		}
	}
}
