package api

import (
	"errors"
	"testing"

	"github.com/meterd/meterd/license"
)

// begunQueries are queries of a log whose beginning is gone.
type begunQueries struct {
	Queries
	fromMs, beginMs int64
	err             error
}

func (b *begunQueries) LogAvailableFromMs(_ *license.Product, fromMs int64) (int64, error) {
	b.fromMs = fromMs
	return b.beginMs, b.err
}

// A log that begins later than was asked for says so, whatever it is answered as.
func TestLogSaysWhereItBegins(t *testing.T) {
	queries := &begunQueries{}
	d := newDaemon(t, func(o *Options) { queries.Queries, o.Queries = o.Queries, queries })
	d.create(1, "p")
	d.connect("p", 0, 1)
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		for _, c := range []struct {
			beginMs int64
			header  string
		}{{0, ""}, {1_500, "1970-01-01T00:00:01.500Z"}} {
			queries.beginMs = c.beginMs
			ctx, _ := d.ask(request{
				token:  "admin",
				method: "GET",
				uri:    "/v1/products/p/devices/d-0/logs?from=1970-01-01T00:00:01Z",
				header: map[string]string{"Accept": accept},
			})
			_ = ctx.Response.Body() // To the end of the stream.
			got := string(ctx.Response.Header.Peek("Meterd-Available-From"))
			if ctx.Response.StatusCode() != 200 || got != c.header || queries.fromMs != 1000 {
				t.Errorf("%s, begins at %d: %q, asked for %d: %s", accept, c.beginMs, got, queries.fromMs, &ctx.Response)
			}
		}
	}
	queries.err = errors.New("the archive is gone")
	ctx, _ := d.ask(request{token: "admin", method: "GET", uri: "/v1/products/p/devices/d-0/logs"})
	if ctx.Response.StatusCode() != 500 || d.handler.readers.count() != 0 {
		t.Errorf("it cannot be read, and %s; %d readers", &ctx.Response, d.handler.readers.count())
	}
}
