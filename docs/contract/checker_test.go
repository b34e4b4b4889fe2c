package contract

import (
	"net/http"
	"strings"
	"testing"
)

// What a Checker finds: each exchange is as the document says, or is not for the reason that is named.
func TestCheck(t *testing.T) {
	c := newChecker(t)
	const problem = `{"type":"urn:meterd:problem:not_found","title":"Not found","status":404,"code":"not_found"}`
	const renewal = `{"auto_renew":true,"except":[]}`
	for _, x := range []struct {
		call, sent string
		status     int
		kind, body string
		reason     string // "": it is as it must be
	}{
		{"GET /v1/products/p/renewal", "", 200, "application/json", renewal, ""},
		{"HEAD /v1/products/p/renewal", "", 200, "application/json", "", ""},
		{"GET /v1/products/p/renewal", "", 200, "application/json", `{"auto_renew":true}`, "missing property 'except'"},
		{
			"GET /v1/products/p/renewal", "", 200, "application/json", `{"auto_renew":true,"except":[],"since":1}`,
			"additional properties 'since' not allowed",
		},
		{"GET /v1/products/p/renewal", "", 200, "text/plain", renewal, `the answer is "text/plain"`},
		{"GET /v1/products/p/renewal", "", 202, "application/json", renewal, "status is not supported"},
		{"HEAD /v1/products/p/renewal", "", 202, "application/json", "", "status 202 is not in the document"},
		{"GET /v1/products/p/renewal", "", 200, "application/json", `{`, "read JSON"},
		{"GET /v1/products/p/renewal", "", 404, "application/problem+json", problem, ""},
		{"GET /v1/products/p/renewal", "", 404, "application/problem+json", `{"code":"not_found"}`, "missing properties"},
		{"PUT /v1/products/p/renewal", `{"auto_renew":true}`, 200, "application/json", renewal, ""},
		{"PUT /v1/products/p/renewal", `{"auto_renew":1}`, 200, "application/json", renewal, "the request's body"},
		{"PUT /v1/products/p/renewal", `{"auto_renew":true,"x":1}`, 200, "application/json", renewal, "'x' not allowed"},
		{"PUT /v1/products/p/renewal", ``, 200, "application/json", renewal, "is needed"},
		{"PUT /v1/products/p/renewal", `{"auto_renew":1}`, 404, "application/problem+json", problem, ""}, // It was refused.
		{"GET /v1/accounts?limit=1", "", 200, "application/json", `{"accounts":[],"next":null}`, ""},
		{"GET /v1/accounts?limit=0", "", 200, "application/json", `{"accounts":[],"next":null}`, `parameter "limit"`},
		{"GET /v1/nothing", "", 404, "application/problem+json", problem, ""},
		{"GET /v1/nothing", "", 200, "application/json", `{}`, "there is no such call"},
		{"DELETE /v1/audit", "", 200, "application/json", `{}`, "there is no such call"},
		{"DELETE /v1/tokens/a", "", 204, "", "", ""},
		{"DELETE /v1/tokens/a", "", 204, "text/plain", "done", "the answer has a body"},
		{
			"GET /v1/products/p/devices/usage?month=", "", 200, "application/x-ndjson",
			`{"device":"d","day":"2026-11-23","up":1,"down":0,"denied":0,"ota_units":0}` + "\n" + `{"device":"d"}`, "line 2",
		},
		{
			"POST /v1/events", `[{"type":"up","product":"p"}]`, 200, "application/json", `{"accepted":1,"denied":[]}`,
			"missing property 'device'",
		},
		{
			"POST /v1/events", `[{"type":"up","product":"p"}]`, 200, "application/json",
			`{"accepted":0,"denied":[{"index":0,"code":"invalid_event","field":"device","detail":"is needed"}]}`, "",
		},
	} {
		method, path, _ := strings.Cut(x.call, " ")
		asked, err := http.NewRequestWithContext(t.Context(), method, "http://meterd"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		asked.Header.Set("Content-Type", "application/json")
		got := c.Check(&Exchange{
			Request: asked, Sent: []byte(x.sent), Status: x.status, Header: http.Header{"Content-Type": {x.kind}},
			Body: []byte(x.body),
		})
		switch {
		case x.reason == "" && got != nil:
			t.Error(got)
		case x.reason != "" && (got == nil || !strings.Contains(got.Error(), x.reason)):
			t.Errorf("%s %s, %d %s: %v, want: %s", x.call, x.sent, x.status, x.body, got, x.reason)
		}
	}
}
