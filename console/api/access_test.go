package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/access"
)

// grant says of a call who may make it, by role; bound is the administrator of one account. Beside a role's tokens
// that see all are those that are bound to an account: they may make the same calls, and find nothing of other
// accounts.
type grant struct {
	call   string // METHOD PATH BODY; what stands in braces is filled in
	status int    // for those who may
	may    string
}

const (
	adminOnly  = "admin"
	adminsOnly = "admin bound"
	readers    = "admin bound viewer"
	counting   = "admin bound viewer billing"
	overseers  = "admin viewer"
	everybody  = "admin bound gateway viewer billing"
)

var accessTable = []grant{
	{`GET /v1/accounts`, 200, counting},
	{`GET /v1/accounts/{account}`, 200, counting},
	{`GET /v1/accounts/{account}/licenses`, 200, counting},
	{`POST /v1/accounts {"account":"{new}","kind":"personal"}`, 201, adminOnly},
	{`POST /v1/accounts/{account}/certify`, 200, adminOnly},
	{`PUT /v1/accounts/{account}/suspended {"suspended":false}`, 200, adminOnly},

	{`GET /v1/products`, 200, counting},
	{`GET /v1/products?account={account}`, 200, counting},
	{`GET /v1/products/{product}`, 200, counting},
	{`POST /v1/products {"product":"{new}","account":"{account}"}`, 201, adminsOnly},
	{`PUT /v1/products/{product}/plan {"log_days":7}`, 200, adminOnly},
	{`PUT /v1/products/{product}/suspended {"suspended":false}`, 200, adminOnly},
	{`GET /v1/products/{product}/renewal`, 200, readers},
	{`PUT /v1/products/{product}/renewal {"auto_renew":true}`, 200, adminsOnly},
	{`GET /v1/products/{product}/log-payload`, 200, readers},
	{`PUT /v1/products/{product}/log-payload {"keep":"full"}`, 200, adminsOnly},
	{`GET /v1/products/{product}/enforcement`, 200, readers},
	{`PUT /v1/products/{product}/enforcement {"mode":"enforce"}`, 200, adminOnly},
	{`GET /v1/products/{product}/forecast`, 200, counting},

	{`GET /v1/products/{product}/lots`, 200, counting},
	{`POST /v1/products/{product}/lots {"order":"{new}","quantity":1}`, 201, adminOnly},
	{`POST /v1/products/{product}/lots/{order}/void {"order":"{new}","quantity":1}`, 200, adminOnly},
	{`GET /v1/products/{product}/topups`, 200, counting},
	{`POST /v1/products/{product}/topups {"order":"{new}","kind":"ota","units":1}`, 201, adminOnly},
	{`POST /v1/products/{product}/topups/{order}/void {"order":"{new}","units":1}`, 200, adminOnly},
	{`GET /v1/products/{product}/licenses`, 200, counting},

	{`GET /v1/products/{product}/devices`, 200, readers},
	{`GET /v1/products/{product}/devices/{device}`, 200, readers},
	{`PUT /v1/products/{product}/devices/{device}/suspended {"suspended":false}`, 200, adminsOnly},
	{`GET /v1/products/{product}/devices/{device}/logs`, 200, readers},
	{`GET /v1/products/{product}/logs`, 200, readers},
	{`DELETE /v1/products/{product}/devices/{device}/logs`, 202, adminsOnly},
	{`GET /v1/products/{product}/devices/{device}/usage`, 200, counting},
	{`GET /v1/products/{product}/devices/usage?month=`, 200, counting},
	{`GET /v1/products/{product}/devices/top?by=messages`, 200, counting},
	{`GET /v1/products/{product}/what-if?messages_per_day=1`, 200, counting},

	{`GET /v1/backup`, 503, adminOnly}, // The fixture's disk is full.
	{`GET /v1/disk`, 200, overseers},
	{`GET /v1/producers?devices=true`, 200, readers},
	{`POST /v1/downloads {"path":"/v1/products/{product}/licenses"}`, 201, counting},
	{`GET /v1/usage?product={product}`, 200, counting},
	{`GET /v1/usage?account={account}`, 200, counting},
	{`POST /v1/snapshots {"account":"{account}"}`, 201, "admin bound billing"},
	{`GET /v1/snapshots`, 200, counting},
	{`GET /v1/snapshots/{snapshot}`, 200, counting},
	{`GET /v1/snapshots/{snapshot}/{file}`, 200, counting},

	{`GET /v1/webhooks`, 200, adminsOnly},
	{`PUT /v1/webhooks/{webhook} {"url":"https://h","events":["device.quota_80"],"account":"{account}"}`, 201, adminsOnly},
	{`GET /v1/webhooks/{webhook}`, 200, adminsOnly},
	{`GET /v1/webhooks/{webhook}/dead-letters`, 200, adminsOnly},
	{`POST /v1/webhooks/{webhook}/dead-letters/{id}/retry`, 202, adminsOnly},
	{`DELETE /v1/webhooks/{webhook}`, 204, adminsOnly},

	{`GET /v1/whoami`, 200, everybody},
	{`POST /v1/sign-in/codes`, 201, adminOnly},
	{`GET /v1/tokens`, 200, adminOnly},
	{`POST /v1/tokens {"name":"{new}","role":"viewer","account":"{account}"}`, 201, adminOnly},
	{`DELETE /v1/tokens/{name}`, 204, adminOnly},
	{`GET /v1/audit`, 200, readers},
	{`POST /v1/clock/confirm`, 204, adminOnly},
}

// publicCalls need no token.
var publicCalls = []string{"POST /v1/sign-in", "GET /v1/downloads/{ticket}"}

// accessDaemon has two accounts, each with a product that has everything, and a token for each column of the table: of
// each role one that sees all, and one that is bound to acme.
func accessDaemon(t *testing.T) *daemon {
	d := newDaemon(t, nil)
	for account, product := range map[string]string{"acme": "pa", "zeta": "pz"} {
		d.expect(201, "POST", "/v1/accounts", fmt.Sprintf(`{"account":%q,"kind":"personal"}`, account))
		d.expect(201, "POST", "/v1/products", fmt.Sprintf(`{"product":%q,"account":%q}`, product, account))
		d.expect(201, "POST", "/v1/products/"+product+"/lots", `{"order":"lot","quantity":100}`)
		d.expect(201, "POST", "/v1/products/"+product+"/topups", `{"order":"pack","kind":"ota","units":100}`)
		d.connect(product, 0, 1)
	}
	for _, s := range []subject{own, foreign} {
		d.expect(201, "POST", "/v1/snapshots", fmt.Sprintf(`{"account":%q}`, s.account))
	}
	d.makeHooks()
	for _, role := range []access.Role{access.RoleAdmin, access.RoleGateway, access.RoleBilling, access.RoleViewer} {
		if role != access.RoleAdmin { // It is there.
			d.addToken(string(role), role, "")
		}
		d.addToken(string(role)+"-of-acme", role, "acme")
	}
	return d
}

// subject is what the braces of a call stand for.
type subject struct{ account, product, device, snapshot, webhook string }

var (
	own     = subject{"acme", "pa", "d-0", "s00000001", "dead-acme"}
	foreign = subject{"zeta", "pz", "d-0", "s00000002", "dead-zeta"}
	nothing = subject{"no-a", "no-p", "d-0", "s00000999", "dead-no-a"}
)

// makeHooks makes a webhook of each account, if it is not there.
func (d *daemon) makeHooks() {
	d.t.Helper()
	for _, s := range []subject{own, foreign} {
		body := fmt.Sprintf(`{"url":"https://h","events":["device.quota_80"],"account":%q}`, s.account)
		ctx, _ := d.ask(request{token: "admin", method: "PUT", uri: "/v1/webhooks/" + s.webhook, body: body})
		if status := ctx.Response.StatusCode(); status/100 != 2 {
			d.t.Fatalf("webhook %s: %d %s", s.webhook, status, ctx.Response.Body())
		}
	}
}

// make makes the call about s with a token; names that must be new are new, and a token to delete is there.
func (d *daemon) make(a grant, token string, s subject) (status int, body string) {
	d.t.Helper()
	order := "lot"
	if strings.Contains(a.call, "/topups/") {
		order = "pack"
	}
	d.names++
	fresh := fmt.Sprintf("new-%d", d.names)
	if strings.Contains(a.call, "{name}") {
		d.addToken(fresh, access.RoleViewer, "acme")
	}
	hook := s.webhook
	if strings.HasPrefix(a.call, "PUT /v1/webhooks") {
		hook = fresh
	}
	text := strings.NewReplacer("{webhook}", hook, "{id}", "msg_0",
		"{account}", s.account, "{product}", s.product, "{device}", s.device, "{order}", order,
		"{snapshot}", s.snapshot, "{file}", "products.csv", "{new}", fresh, "{name}", fresh).Replace(a.call)
	parts := append(strings.SplitN(text, " ", 3), "")
	ctx, _ := d.ask(request{token: token, method: parts[0], uri: parts[1], body: parts[2]})
	if parts[0] == "DELETE" && ctx.Response.StatusCode() == 204 {
		d.makeHooks() // It may have been one of them.
	}
	return ctx.Response.StatusCode(), string(ctx.Response.Body())
}

func (a grant) allows(column string) bool { return slices.Contains(strings.Fields(a.may), column) }

// TestAccess makes every call with every kind of token, about what is the token's and what is not.
func TestAccess(t *testing.T) {
	d := accessDaemon(t)
	for _, a := range accessTable {
		for _, role := range []string{"admin", "gateway", "billing", "viewer"} {
			want := 403
			if a.allows(role) {
				want = a.status
			}
			for _, s := range []subject{own, foreign} {
				if got, body := d.make(a, role, s); got != want {
					t.Errorf("%s, %s about %s: %d %s, want %d", role, a.call, s.account, got, body, want)
				}
			}
			d.checkBound(a, role)
		}
		for _, token := range []string{"", "unknown"} {
			d.tokens["unknown"] = access.NewSecret()
			if got, body := d.make(a, token, own); got != 401 {
				t.Errorf("token %q, %s: %d %s, want 401", token, a.call, got, body)
			}
		}
	}
}

// checkBound makes the call with the role's token that is bound to acme. What belongs to others is answered as what
// does not exist.
func (d *daemon) checkBound(a grant, role string) {
	d.t.Helper()
	token, column := role+"-of-acme", role
	if role == "admin" {
		column = "bound"
	}
	want := 403
	if a.allows(column) && a.may != overseers {
		want = a.status
	}
	got, body := d.make(a, token, own)
	if got != want {
		d.t.Errorf("%s, %s: %d %s, want %d", token, a.call, got, body, want)
	}
	if strings.Contains(body, `"zeta"`) || strings.Contains(body, `"pz"`) {
		d.t.Errorf("%s, %s: it reads about others: %s", token, a.call, body)
	}
	if !strings.Contains(a.call, "{account}") && !strings.Contains(a.call, "{product}") &&
		!strings.Contains(a.call, "{snapshot}") && !strings.Contains(a.call, "{webhook}") {
		return
	}
	if want == a.status {
		want = 404
	}
	got, body = d.make(a, token, foreign)
	_, missing := d.make(a, token, nothing)
	missing = strings.NewReplacer(nothing.account, foreign.account, nothing.product, foreign.product,
		nothing.snapshot, foreign.snapshot, nothing.webhook, foreign.webhook).Replace(missing)
	if got != want || body != missing {
		d.t.Errorf(
			"%s, %s about zeta: %d %s, want %d; about what does not exist: %s",
			token,
			a.call,
			got,
			body,
			want,
			missing,
		)
	}
}

// A call that is not in the table would be in nobody's mind either. HEAD is GET without a body.
func TestAccessTableIsWhole(t *testing.T) {
	d := newDaemon(t, nil)
	routes, rows := map[string]bool{}, map[string]bool{}
	for method, paths := range d.handler.routes().List() {
		for _, path := range paths {
			call := method + " " + path
			if strings.HasPrefix(path, "/v1/") && method != "HEAD" && !slices.Contains(publicCalls, call) {
				routes[call] = true
			}
		}
	}
	for _, a := range accessTable {
		call, _, _ := strings.Cut(a.call, " {")
		call, _, _ = strings.Cut(call, "?")
		rows[call] = true
	}
	if !maps.Equal(routes, rows) {
		t.Errorf("calls: %q\nin the table: %q", slices.Sorted(maps.Keys(routes)), slices.Sorted(maps.Keys(rows)))
	}
}
