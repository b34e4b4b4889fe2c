package ingest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meterd/meterd/docs/contract"
)

// docs/openapi.yaml has every path that the gateways' door answers, each with the methods that it takes.
func TestOpenAPIHasEveryCallOfGateways(t *testing.T) {
	c, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	d := newGuardedDoor(t)
	described := c.Document.Paths.Map()
	begins := gatewaysPaths(t)
	for path, item := range described {
		if !slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(path, begin) }) {
			continue
		}
		ctx := d.ask(d.handler, "gateway", "BREW "+strings.ReplaceAll(path, "{producer}", "gw"))
		takes := strings.Split(string(ctx.Response.Header.Peek("Allow")), ", ")
		if ctx.Response.StatusCode() != http.StatusMethodNotAllowed {
			t.Errorf("BREW %s: %d %s", path, ctx.Response.StatusCode(), ctx.Response.Body())
		}
		for _, method := range takes {
			if item.GetOperation(method) == nil {
				t.Errorf("%s takes %s: describe it in docs/openapi.yaml", path, method)
			}
		}
		for method := range item.Operations() {
			if !slices.Contains(takes, method) {
				t.Errorf("docs/openapi.yaml has %s %s; it takes %v", method, path, takes)
			}
		}
	}
	for _, begin := range begins {
		found := false
		for path := range described {
			found = found || strings.HasPrefix(path, begin)
		}
		if !found {
			t.Errorf("%s is answered here: describe it in docs/openapi.yaml", begin)
		}
	}
}

// gatewaysPaths returns the beginnings of paths that stand in the code of this package.
func gatewaysPaths(t *testing.T) (begins []string) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil && strings.HasPrefix(text, "/v1/") {
					begins = append(begins, text)
				}
			}
			return true
		})
	}
	if len(begins) < 3 {
		t.Fatalf("only %q stand in the code", begins)
	}
	return begins
}
