package api

import (
	"testing"

	"github.com/valyala/fasthttp"
)

func TestPreferred(t *testing.T) {
	for accept, want := range map[string]string{
		"":                                    mediaJSON,
		"*/*":                                 mediaJSON,
		"text/html":                           mediaJSON,
		"text/csv":                            mediaCSV,
		"Text/CSV ; charset=utf-8":            mediaCSV,
		"text/*":                              mediaCSV,
		"text/csv, */*":                       mediaCSV,
		"text/csv, application/json":          mediaCSV,
		"application/json, text/csv":          mediaJSON,
		"application/json;q=0.4, text/csv":    mediaCSV,
		"application/json, text/csv;q=0.9":    mediaJSON,
		"text/csv;q=0.8, application/*;q=0.9": mediaJSON,
		"text/csv;q=0":                        mediaJSON,
		"text/csv;q=0, */*":                   mediaJSON,
		"text/csv;q=nonsense":                 mediaJSON,
		"text/csv;q=2":                        mediaJSON,
		"text/csv;header=present;q=0.1":       mediaCSV,
		",;,=,;q=":                            mediaJSON,
	} {
		c := &call{ctx: &fasthttp.RequestCtx{}}
		c.ctx.Request.Header.Set(fasthttp.HeaderAccept, accept)
		if got := c.preferred(mediaJSON, mediaCSV); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}
