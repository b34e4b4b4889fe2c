package api

import (
	"testing"

	"github.com/meterd/meterd/access"
)

// Few requests look through the devices of products at a time, of one token fewer: others still find a place.
func TestLookersAreBounded(t *testing.T) {
	d := newDaemon(t, nil)
	d.create(0, "p")
	d.addToken("other", access.RoleBilling, "")
	d.addToken("third", access.RoleViewer, "")
	ask := func(token string, want int) {
		t.Helper()
		for _, uri := range []string{"/devices/top?by=denied", "/what-if?messages_per_day=1"} {
			ctx, _ := d.ask(request{token: token, method: "GET", uri: "/v1/products/p" + uri})
			if got := ctx.Response.StatusCode(); got != want {
				t.Errorf("%s for %s: %d %s, want %d", uri, token, got, ctx.Response.Body(), want)
			}
		}
	}
	for range deviceLookersATokenMax {
		d.handler.lookers.enter("admin")
	}
	ask("admin", 503)
	ask("other", 200)
	for range deviceLookersMax - deviceLookersATokenMax {
		d.handler.lookers.enter("third")
	}
	ask("other", 503)
	d.handler.lookers.leave("admin")
	ask("admin", 200)
	ask("other", 200)
}
