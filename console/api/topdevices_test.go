package api

import (
	"testing"

	"github.com/meterd/meterd/access"
)

// Few requests look through the devices of products, or of the daemon, at a time, of one token fewer: others
// still find a place.
func TestLookersAreBounded(t *testing.T) {
	d := newDaemon(t, nil)
	d.create(0, "p")
	d.addToken("other", access.RoleViewer, "")
	d.addToken("third", access.RoleViewer, "")
	ask := func(token string, want int) {
		t.Helper()
		for _, uri := range []string{
			"/v1/products/p/devices/top?by=denied", "/v1/products/p/what-if?messages_per_day=1", "/v1/producers?devices=true",
		} {
			ctx, _ := d.ask(request{token: token, method: "GET", uri: uri})
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
