package api

import (
	"fmt"
	"strings"
	"testing"
)

// A list of licences of more than a piece comes whole as CSV: the same that its pages have.
func TestLicensesAsCSV(t *testing.T) {
	const devices = 6000 // Some 90 bytes each, in pieces of 256 KiB.
	d := newDaemon(t, nil)
	d.create(0, "p")
	d.expect(201, "POST", "/v1/products/p/lots", fmt.Sprintf(`{"order":"L","quantity":%d}`, devices))
	for from := 0; from < devices; from += 1000 {
		d.connect("p", from, from+1000)
	}
	ctx, _ := d.ask(request{
		token: "admin", method: "GET", uri: "/v1/products/p/licenses", header: map[string]string{"Accept": "text/csv"},
	})
	lines := strings.Split(strings.TrimSuffix(string(ctx.Response.Body()), "\n"), "\n")
	n := 0
	d.pages("/v1/products/p/licenses?limit=1000", "licenses", func(e element) {
		n++
		if begin := fmt.Sprintf("%d,p,%s,", e.Serial, e.Device); n >= len(lines) || !strings.HasPrefix(lines[n], begin) {
			t.Fatalf("line %d of %d does not begin with %s", n, len(lines), begin)
		}
	})
	if n != devices || len(lines) != devices+1 {
		t.Errorf("%d licences, %d lines", n, len(lines))
	}
	if n := d.handler.usages.count(); n != 0 {
		t.Errorf("%d places of readers are taken", n)
	}
}
