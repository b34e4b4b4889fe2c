package api

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/docs/contract"
)

// newContract reads docs/openapi.yaml once for all tests.
var newContract = sync.OnceValues(contract.New)

// check compares a request and its answer with docs/openapi.yaml. An answer that is streamed is not read.
func (d *daemon) check(r request, ctx *fasthttp.RequestCtx) {
	d.t.Helper()
	c, err := newContract()
	must(d.t, err)
	uri := strings.ReplaceAll(r.uri, "+", "%2B") // The daemon forgives a sign that was not escaped.
	asked, err := http.NewRequestWithContext(d.t.Context(), r.method, uri, http.NoBody)
	if err != nil {
		return // Escaped so badly that no client of Go can ask for it.
	}
	x := contract.Exchange{
		Request: asked, Sent: []byte(r.body), Status: ctx.Response.StatusCode(), Header: http.Header{},
	}
	for name, value := range ctx.Request.Header.All() {
		x.Request.Header.Add(string(name), string(value))
	}
	for name, value := range ctx.Response.Header.All() {
		x.Header.Add(string(name), string(value))
	}
	if !ctx.Response.IsBodyStream() {
		x.Body = append([]byte{}, ctx.Response.Body()...)
	}
	if err := c.Check(&x); err != nil {
		d.t.Error(err)
	}
}

// gatewaysPaths are those that package ingest answers, or a node of a cluster.
var gatewaysPaths = []string{"/v1/check", "/v1/cluster", "/v1/commands", "/v1/events", "/v1/producers/", "/v1/stream"}

// Every route is in docs/openapi.yaml, and every call there that is not a gateway's is a route.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	c, err := newContract()
	must(t, err)
	var described, routed []string
	for path, item := range c.Document.Paths.Map() {
		isGateways := func(begin string) bool { return strings.HasPrefix(path, begin) }
		if slices.ContainsFunc(gatewaysPaths, isGateways) {
			continue
		}
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	routes := newDaemon(t, nil).handler.routes().List()
	for method, paths := range routes {
		if method == http.MethodHead {
			paths = slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
				return slices.Contains(routes[http.MethodGet], path)
			})
		}
		for _, path := range paths {
			routed = append(routed, method+" "+path)
		}
	}
	slices.Sort(described)
	slices.Sort(routed)
	for _, call := range routed {
		if !slices.Contains(described, call) {
			t.Errorf("%s is a route: describe it in docs/openapi.yaml", call)
		}
	}
	for _, call := range described {
		if !slices.Contains(routed, call) {
			t.Errorf("%s is in docs/openapi.yaml: no route answers it", call)
		}
	}
}

// The roles that a call names are those that it takes.
func TestOpenAPINamesRoles(t *testing.T) {
	c, err := newContract()
	must(t, err)
	texts := map[string]string{
		adminOnly: "Roles: admin, not bound to an account.", adminsOnly: "Roles: admin.", readers: "Roles: admin, viewer.",
		counting: "Roles: admin, billing, viewer.", everybody: "Roles: admin, billing, gateway, viewer.",
		overseers:             "Roles: admin, viewer, not bound to an account.",
		"admin bound billing": "Roles: admin, billing.",
	}
	for _, g := range accessTable {
		method, path, _ := strings.Cut(g.call, " ")
		path, _, _ = strings.Cut(path, " ")
		path, _, _ = strings.Cut(path, "?")
		says := c.Document.Paths.Value(path).GetOperation(method).Description
		if text := texts[g.may]; text == "" || !strings.HasPrefix(says, text) {
			t.Errorf("%s %s is for %q, and described so: %s", method, path, g.may, says)
		}
	}
}

// The document and its page need no token, and the page comes with a policy that allows nothing inline.
func TestOpenAPIIsServed(t *testing.T) {
	d := newDaemon(t, nil)
	for uri, begin := range map[string]string{
		"/openapi.json": `{"openapi":"3.1.0","info":`, "/docs": "<!doctype html>", "/docs/page.css": "body {",
		"/docs/redoc.standalone.js": "/*! For license information",
	} {
		ctx, _ := d.ask(request{method: "GET", uri: uri})
		if ctx.Response.StatusCode() != 200 || !bytes.HasPrefix(ctx.Response.Body(), []byte(begin)) {
			t.Errorf("%s: %d %.100s", uri, ctx.Response.StatusCode(), ctx.Response.Body())
		}
		policy := string(ctx.Response.Header.Peek("Content-Security-Policy"))
		isStrict := strings.HasPrefix(policy, "default-src 'none'") && !strings.Contains(policy, "unsafe")
		if uri != "/openapi.json" && !isStrict {
			t.Errorf("%s: %q", uri, policy)
		}
	}
}
