package api

import (
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// ticket asks for the address of a download in the name of a token.
func (d *daemon) ticket(token, path string) (status int, url, body string) {
	d.t.Helper()
	ctx, _ := d.ask(request{token: token, method: "POST", uri: "/v1/downloads", body: `{"path":"` + path + `"}`})
	var answer downloadAnswer
	unmarshal(d.t, ctx.Response.Body(), &answer)
	return ctx.Response.StatusCode(), answer.URL, string(ctx.Response.Body())
}

// save opens an address as a browser does. Its answer is read as it leaves.
func (d *daemon) save(url string) (ctx *fasthttp.RequestCtx, body string) {
	d.t.Helper()
	ctx, _ = d.ask(request{method: "GET", uri: url})
	return ctx, string(ctx.Response.Body())
}

// What a token may read as a file can be saved once from an address of its own, under a name that says what it is.
func TestTicketSavesFile(t *testing.T) {
	d := accessDaemon(t)
	for path, want := range map[string]struct{ name, begin string }{
		"/v1/snapshots/s00000001/products.csv": {"s00000001-products.csv", "product,account,"},
		"/v1/products/pa/licenses?state=active": {
			"pa-licenses.csv", "serial,product,device,source,activated_at,expires_at,state\n",
		},
		"/v1/accounts/acme/licenses":           {"acme-licenses.csv", "serial,"},
		"/v1/usage?account=acme&window=day":    {"usage.csv", "from,to,product,"},
		"/v1/products/pa/devices/usage?month=": {"pa-devices.csv", "device,day,"},
	} {
		status, url, answer := d.ticket("viewer-of-acme", path)
		if status != 201 {
			t.Errorf("%s: %d %s", path, status, answer)
			continue
		}
		ctx, body := d.save(url)
		disposition := string(ctx.Response.Header.Peek("Content-Disposition"))
		if ctx.Response.StatusCode() != 200 || disposition != `attachment; filename="`+want.name+`"` ||
			!strings.HasPrefix(body, want.begin) {
			t.Errorf("%s: %d %q %.60q", path, ctx.Response.StatusCode(), disposition, body)
		}
		if ctx, _ := d.save(url); ctx.Response.StatusCode() != 404 || len(d.held.take()) != 1 {
			t.Errorf("%s, the second time: %d", path, ctx.Response.StatusCode())
		}
	}
	if n := d.handler.usages.count() + d.handler.downloads.count(); n != 0 {
		t.Errorf("%d places of readers are taken", n)
	}
}

// A ticket is for files alone, of what its token may read, for a minute, and no longer than the token is good.
func TestTicketIsRefused(t *testing.T) {
	d := accessDaemon(t)
	for path, want := range map[string]int{
		"/v1/products/pz/licenses": 404, "/v1/snapshots/s00000002/products.csv": 404, "/v1/snapshots/s00000001/none": 404,
		"/v1/usage": 400, "/v1/products/pa/licenses?state=lost": 400, "/v1/products/pa/devices/usage": 404,
		"/v1/tokens": 400, "/v1/snapshots/s00000001": 400, "/metrics": 400, "": 400, "http://h/v1/usage?product=pa": 400,
		"/v1/products/pa/logs": 400, "/v1/downloads/x": 400, "/v1/products/pa/licenses?x=" + strings.Repeat("x", 1024): 400,
	} {
		if status, _, body := d.ticket("viewer-of-acme", path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	d.submit("", `{"type":"connect","product":"pa","device":"usage"}`)
	if status, _, body := d.ticket("viewer-of-acme", "/v1/products/pa/devices/usage"); status != 400 {
		t.Errorf("JSON: %d %s", status, body)
	}
	_, late, _ := d.ticket("viewer", "/v1/usage?product=pa")
	d.clock.pass(time.Minute, false)
	_, orphan, _ := d.ticket("viewer", "/v1/usage?product=pa")
	d.expect(204, "DELETE", "/v1/tokens/viewer", "")
	for _, url := range []string{late, orphan, "/v1/downloads/none"} {
		if ctx, body := d.save(url); ctx.Response.StatusCode() != 404 {
			t.Errorf("%d %s", ctx.Response.StatusCode(), body)
		}
	}
	for range ticketsATokenMax {
		d.ticket("admin", "/v1/usage?product=pa")
	}
	if status, _, body := d.ticket("admin", "/v1/usage?product=pa"); status != 503 {
		t.Errorf("one ticket more: %d %s", status, body)
	}
}

// What a token has no right to is refused as that, and is no guess at a token: nobody is slowed down.
func TestTicketWithoutTheRight(t *testing.T) {
	d := accessDaemon(t)
	status, _, body := d.ticket("billing", "/v1/products/pa/devices/usage")
	if held := d.held.take(); status != 403 || len(held) != 0 || !strings.Contains(body, `"forbidden"`) {
		t.Errorf("%d %s, held back %v", status, body, held)
	}
}
