package ingest

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// Attributes in the header make a request one in binary mode, unless its body is a CloudEvent; each stands there once.
func TestFormatOfCloudEvents(t *testing.T) {
	for _, c := range []struct {
		contentType string
		header      []string
		want        string // "binary", a Content-Type, or a field that is refused
	}{
		{"application/json", nil, "application/json"},
		{"application/json", []string{"Ce-Id"}, "application/json"},
		{"application/json", []string{"ce-specversion"}, "binary"},
		{"", []string{"CE-TYPE"}, "binary"},
		{"image/png", []string{"Ce-Type"}, "binary"},
		{"application/cloudevents+json; charset=utf-8", []string{"Ce-Type"}, "application/cloudevents+json"},
		{"Application/CloudEvents-Batch+JSON", []string{"Ce-Specversion"}, "application/cloudevents-batch+json"},
		{"application/json", []string{"Ce-Type", "Ce-Subject", "ce-subject"}, "Ce-Subject"},
		{"application/json", []string{"Ce-Type", "ce-type"}, "Ce-Type"},
	} {
		var h fasthttp.RequestHeader
		h.SetContentType(c.contentType)
		for _, name := range c.header {
			h.Add(name, "")
		}
		var k call
		kind, p := k.formatOf(&h)
		got := ""
		switch {
		case p != nil:
			got = p.Field
		case kind == &binaryFormat:
			got = "binary"
		case kind != nil:
			got = kind.contentType
		}
		if got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.contentType, c.header, got, c.want)
		}
		if kind == &binaryFormat && k.cloud.SpecVersion == nil && k.cloud.Type == nil {
			t.Errorf("%q with %q: what is empty is not there", c.contentType, c.header)
		}
	}
}
