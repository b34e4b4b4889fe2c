package names

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
)

// Accounts go to the emptiest cell, products and tokens to their account's, and a name is taken wherever it is.
func TestNamesAreGivenOnce(t *testing.T) {
	c := newCluster(t)
	cells := []int{c.account("a-0"), c.account("a-1"), c.account("a-2")}
	if !slices.Equal(cells, []int{0, 1, 2}) {
		t.Fatalf("the accounts are in cells %v", cells)
	}
	for i, cell := range cells {
		account := fmt.Sprintf("a-%d", i)
		a := c.want(c.admin("POST", "/v1/products", fmt.Sprintf(`{"product":"p-%d","account":%q}`, i, account)), 201, "")
		if got := c.holders(license.NameProduct, fmt.Sprintf("p-%d", i)); !slices.Equal(got, []int{cell}) {
			t.Fatalf("product %d is in %v: %s", i, got, a.body)
		}
		c.token(fmt.Sprintf(`{"name":"gw-%d","role":"gateway","account":%q}`, i, account))
		if got := c.holders(license.NameToken, fmt.Sprintf("gw-%d", i)); !slices.Equal(got, []int{cell}) {
			t.Fatalf("token %d is in %v", i, got)
		}
		c.want(c.admin("PUT", fmt.Sprintf("/v1/webhooks/h-%d", i), fmt.Sprintf(
			`{"url":"https://h","events":["device.quota_80"],"account":%q}`, account)), 201, "")
		if got := c.holders(license.NameHook, fmt.Sprintf("h-%d", i)); !slices.Equal(got, []int{cell}) {
			t.Fatalf("webhook %d is in %v", i, got)
		}
	}
	for i := range cells {
		for _, account := range []string{"a-0", "a-1", "a-2"} { // Whichever cell is asked.
			c.want(
				c.admin("POST", "/v1/accounts", fmt.Sprintf(`{"account":"a-%d","kind":"personal"}`, i)),
				409,
				"already_exists",
			)
			c.want(c.admin("POST", "/v1/products", fmt.Sprintf(`{"product":"p-%d","account":%q}`, i, account)), 409,
				"already_exists")
			c.want(c.admin("POST", "/v1/tokens", fmt.Sprintf(`{"name":"gw-%d","role":"viewer","account":%q}`, i, account)), 409,
				"already_exists")
		}
		c.want(c.admin("POST", "/v1/tokens", fmt.Sprintf(`{"name":"gw-%d","role":"viewer"}`, i)), 409, "already_exists")
	}
	c.want(c.admin("PUT", "/v1/webhooks/h-2", `{"url":"https://h","events":["device.quota_80"],"account":"a-1"}`), 409,
		"already_exists")
	if open := c.cells[0].engine.Load().Catalogue().OpenNames(); len(open) != 0 {
		t.Fatalf("%+v are open", open)
	}
}

// What would be refused is refused by the cell, in its own words, and nothing is reserved for it.
func TestRefusalsReserveNothing(t *testing.T) {
	c := newCluster(t)
	c.account("a-0")
	c.account("a-1")
	before := c.cells[0].engine.Load().Catalogue().Seq
	for _, tt := range []struct {
		path, body, secret string
		status             int
		code               string
	}{
		{"/v1/accounts", `{"account":"a b","kind":"personal"}`, c.secret, 400, "invalid_argument"},
		{"/v1/accounts", `{"account":"x","kind":"personal","region":"mars"}`, c.secret, 422, "other_region"},
		{"/v1/accounts", `{"account":"x","kind":"personal"}`, "mtd_wrong", 401, "unauthorized"},
		{"/v1/products", `{"product":"x","account":"a-1","plan":{"validity":"no"}}`, c.secret, 400, "invalid_argument"},
		{"/v1/products", `{"product":"x","account":"nobody"}`, c.secret, 404, "not_found"},
		{"/v1/products", `{"product":"x","account":"a-1","colour":1}`, c.secret, 400, "unknown_field"},
		{"/v1/products", `[`, c.secret, 400, "bad_request"},
		{"/v1/tokens", `{"name":"x","role":"king","account":"a-1"}`, c.secret, 400, "invalid_argument"},
		{"/v1/tokens", `{"name":"x","role":"viewer","account":""}`, c.secret, 400, "invalid_argument"},
	} {
		c.want(c.ask("POST", tt.path, tt.body, tt.secret), tt.status, tt.code)
	}
	if after := c.cells[0].engine.Load().Catalogue().Seq; after != before {
		t.Fatalf("%d changes were made in cell 0", after-before)
	}
}

// A token that is bound to an account works in its cell, wherever its call arrives.
func TestBoundTokens(t *testing.T) {
	c := newCluster(t)
	c.account("a-0")
	c.account("a-1")
	own := c.token(`{"name":"own","role":"admin","account":"a-1"}`)
	c.want(c.ask("POST", "/v1/products", `{"product":"p1","account":"a-1"}`, own), 201, "")
	c.want(c.ask("POST", "/v1/products", `{"product":"p2","account":"a-0"}`, own), 404, "not_found")
	c.want(c.ask("POST", "/v1/accounts", `{"account":"a-9","kind":"personal"}`, own), 403, "forbidden")
	c.want(c.ask("POST", "/v1/tokens", `{"name":"t","role":"viewer","account":"a-1"}`, own), 403, "forbidden")
	c.want(c.ask("DELETE", "/v1/tokens/admin", "", own), 403, "forbidden")
	const hook = `{"url":"https://h","events":["device.quota_80"]}`
	c.want(c.ask("PUT", "/v1/webhooks/h", hook, own), 201, "")
	c.want(c.ask("PUT", "/v1/webhooks/h", `{"url":"https://i","events":["device.quota_80"]}`, own), 200, "")
	if h := c.cells[1].engine.Load().Catalogue().Hook("h"); h == nil || h.Account != "a-1" || h.URL != "https://i" {
		t.Fatalf("%+v", h)
	}
	c.want(c.admin("PUT", "/v1/webhooks/all", hook), 201, "")
	c.want(c.ask("PUT", "/v1/webhooks/all", hook, own), 409, "already_exists")
	c.want(c.ask("DELETE", "/v1/webhooks/all", "", own), 404, "not_found")
	c.want(c.ask("DELETE", "/v1/webhooks/h", "", own), 204, "")
	if got := c.holders(license.NameHook, "h"); len(got) != 0 {
		t.Fatalf("the webhook is in %v", got)
	}
}

// A deleted token's name is free again, and may then be bound elsewhere.
func TestDeleteBoundToken(t *testing.T) {
	c := newCluster(t)
	c.account("a-0")
	c.account("a-1")
	for range 2 {
		for _, body := range []string{
			`{"name":"gw","role":"gateway","account":"a-1"}`, `{"name":"gw","role":"gateway"}`,
			`{"name":"gw","role":"gateway","account":"a-0"}`,
		} {
			c.token(body)
			c.want(c.admin("POST", "/v1/tokens", `{"name":"gw","role":"viewer"}`), 409, "already_exists")
			c.want(c.admin("DELETE", "/v1/tokens/gw", ""), 204, "")
			c.want(c.admin("DELETE", "/v1/tokens/gw", ""), 404, "not_found")
			if got := c.holders(license.NameToken, "gw"); len(got) != 0 {
				t.Fatalf("the token is in %v", got)
			}
		}
	}
	if c.cells[0].engine.Load().Catalogue().Given(license.NameToken, "gw") != nil {
		t.Fatal("the name is still given")
	}
}

// Tokens and webhooks without an account are in all cells when they are answered, and in none when their deletion is.
func TestUnboundIsEverywhere(t *testing.T) {
	c := newCluster(t)
	all := []int{0, 1, 2}
	secret := c.token(`{"name":"all","role":"gateway"}`)
	c.want(c.admin("PUT", "/v1/webhooks/h", `{"url":"https://h","events":["device.quota_80"]}`), 201, "")
	for i, one := range c.cells {
		if one.engine.Load().Catalogue().Authenticate([]byte(secret), 0) == nil {
			t.Errorf("cell %d does not know the token", i)
		}
	}
	if got := c.holders(license.NameHook, "h"); !slices.Equal(got, all) {
		t.Fatalf("the webhook is in %v", got)
	}
	c.want(c.admin("PUT", "/v1/webhooks/h", `{"url":"https://i","events":["device.quota_100"]}`), 200, "")
	for i, one := range c.cells {
		if h := one.engine.Load().Catalogue().Hook("h"); h.URL != "https://i" {
			t.Errorf("cell %d has %+v", i, h)
		}
	}
	c.want(c.admin("DELETE", "/v1/tokens/all", ""), 204, "")
	c.want(c.admin("DELETE", "/v1/webhooks/h", ""), 204, "")
	if a, b := c.holders(license.NameToken, "all"), c.holders(license.NameHook, "h"); len(a)+len(b) != 0 {
		t.Fatalf("the token is in %v, the webhook in %v", a, b)
	}
	c.want(c.admin("DELETE", "/v1/tokens/admin", ""), 409, "last_admin")
	if !slices.Contains(auditOf(t, c.cells[0]), "webhook.delete") {
		t.Error("cell 0 does not note what was deleted")
	}
	for _, one := range c.cells {
		for _, e := range auditOf(t, one) {
			if one.number != 0 && (strings.HasPrefix(e, "token.") || strings.HasPrefix(e, "webhook.")) {
				t.Errorf("cell %d notes %s, which cell 0 has noted", one.number, e)
			}
		}
	}
}

// auditOf returns the actions that a cell's audit log has.
func auditOf(t *testing.T, c *cell) (list []string) {
	must(t, c.engine.Load().DurableInLedger())
	must(t, c.reader.Audit(0, func(e license.AuditEntry) bool {
		list = append(list, e.Action)
		return true
	}))
	return list
}

// Many who want one name at once: one gets it, and the others are told so.
func TestOneNameForMany(t *testing.T) {
	c := newCluster(t)
	c.openWait = within
	c.account("a-0")
	c.account("a-1")
	c.account("a-2")
	for round := range 5 {
		var all sync.WaitGroup
		got := make([]int, 9)
		for i := range got {
			all.Go(func() {
				a := c.admin("POST", "/v1/products", fmt.Sprintf(`{"product":"p-%d","account":"a-%d"}`, round, i%3))
				got[i] = a.status
			})
		}
		all.Wait()
		made := 0
		for _, status := range got {
			switch status {
			case 201:
				made++
			case 409:
			default:
				t.Fatalf("%v", got)
			}
		}
		if holders := c.holders(license.NameProduct, fmt.Sprintf("p-%d", round)); made != 1 || len(holders) != 1 {
			t.Fatalf("round %d: %v, in cells %v", round, got, holders)
		}
	}
	if open := c.cells[0].engine.Load().Catalogue().OpenNames(); len(open) != 0 {
		t.Fatalf("%+v are open", open)
	}
}

// Find tells what cell 0 knows.
func TestFind(t *testing.T) {
	c := newCluster(t)
	c.account("a-0")
	c.account("a-1")
	for name, want := range map[string]int{"a-0": 0, "nobody": -1, "a-1": 1} {
		cell, found, err := c.Find(t.Context(), license.NameAccount, name)
		must(t, err)
		if found != (want >= 0) || found && cell != want {
			t.Errorf("%s is said to be in cell %d: %t", name, cell, found)
		}
	}
}

// A deletion beside which an equal one is done is answered as what comes after that: there is no such token.
func TestDeletedMeanwhile(t *testing.T) {
	c := newCluster(t)
	c.account("a-0")
	c.account("a-1")
	c.token(`{"name":"gw","role":"gateway","account":"a-1"}`)
	forward, isFirst := c.o.Forward, true
	c.o.Forward = func(within context.Context, ctx *fasthttp.RequestCtx, cell int, reservation uint64) error {
		err := forward(within, ctx, cell, reservation)
		if isFirst {
			isFirst = false
			c.want(c.admin("DELETE", "/v1/tokens/gw", ""), 204, "")
		}
		return err
	}
	c.want(c.admin("DELETE", "/v1/tokens/gw", ""), 404, "not_found")
}
