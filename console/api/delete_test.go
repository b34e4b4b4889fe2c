package api

import (
	"strings"
	"testing"
)

// TestDeleteTakesNoParameters: a parameter that would be ignored cannot narrow what is deleted: it is refused by name.
func TestDeleteTakesNoParameters(t *testing.T) {
	d := newDaemon(t, nil)
	for _, path := range []string{"/v1/products/p/devices/d/logs", "/v1/tokens/admin"} {
		for query, name := range map[string]string{"from=2026-11-27T00:00:00Z": "from", "to": "to", "%66=1&g": "f"} {
			ctx, _ := d.ask(request{token: "admin", method: "DELETE", uri: path + "?" + query})
			body := string(ctx.Response.Body())
			if ctx.Response.StatusCode() != 400 || !strings.Contains(body, `"field":"`+name+`"`) {
				t.Errorf("%s?%s: %d %s", path, query, ctx.Response.StatusCode(), body)
			}
		}
	}
}
