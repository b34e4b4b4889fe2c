package api

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"
)

// create makes an account "acme" and products of it, all with a lot of licences beside the gifts if there are to be
// some.
func (d *daemon) create(licenses int, products ...string) {
	d.t.Helper()
	d.expect(fasthttp.StatusCreated, "POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`)
	for _, p := range products {
		d.expect(fasthttp.StatusCreated, "POST", "/v1/products", `{"product":"`+p+`","account":"acme"}`)
		if licenses > 0 {
			d.expect(
				fasthttp.StatusCreated,
				"POST",
				"/v1/products/"+p+"/lots",
				fmt.Sprintf(`{"order":"PO","quantity":%d}`, licenses),
			)
		}
	}
}

// expect asks as the administrator, fails unless the status is right, and returns the body.
func (d *daemon) expect(status int, method, uri, body string) []byte {
	d.t.Helper()
	ctx, _ := d.ask(request{token: "admin", method: method, uri: uri, body: body})
	if got := ctx.Response.StatusCode(); got != status {
		d.t.Fatalf("%s %s %s: %d %s, want %d", method, uri, body, got, ctx.Response.Body(), status)
	}
	return ctx.Response.Body()
}

// An order is credited once, however often it is asked for at the same time, and every asker is answered the same lot
// (R8).
func TestOrderIsCreditedOnce(t *testing.T) {
	const askers = 50
	d := newDaemon(t, nil)
	d.create(0, "p")
	for _, kind := range []struct{ path, body string }{
		{"lots", `{"order":"PO-1","quantity":7,"plan":{"messages_per_day":10}}`},
		{"topups", `{"order":"TU-1","kind":"ota","units":7}`},
	} {
		var created, repeated atomic.Int32
		var lots sync.Map
		var wg sync.WaitGroup
		for range askers {
			wg.Go(func() {
				ctx, _ := d.ask(request{token: "admin", method: "POST", uri: "/v1/products/p/" + kind.path, body: kind.body})
				switch ctx.Response.StatusCode() {
				case fasthttp.StatusCreated:
					created.Add(1)
				case fasthttp.StatusOK:
					repeated.Add(1)
				}
				lots.Store(string(ctx.Response.Body()), true)
			})
		}
		wg.Wait()
		if created.Load() != 1 || repeated.Load() != askers-1 {
			t.Errorf(
				"%s: %d answers 201 and %d answers 200, want 1 and %d",
				kind.path,
				created.Load(),
				repeated.Load(),
				askers-1,
			)
		}
		different := 0
		lots.Range(func(any, any) bool { different++; return true })
		if different != 1 {
			t.Errorf("%s: %d different answers, want one", kind.path, different)
		}
	}
	var product productAnswer
	unmarshal(t, d.expect(fasthttp.StatusOK, "GET", "/v1/products/p", ""), &product)
	if product.Licenses.Total != 7 || product.Topups.OTA.Total != 7 {
		t.Errorf("the product has %d licences and %d units, want 7 and 7", product.Licenses.Total, product.Topups.OTA.Total)
	}
}
