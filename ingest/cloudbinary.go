package ingest

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// binaryFormat is a CloudEvent in binary mode. No Content-Type names it: that is the data's.
//
//nolint:gochecknoglobals // It is a row of the table of formats that no Content-Type finds; nothing assigns to it.
var binaryFormat = format{seed: 3, answer: wire.AppendResult, answerType: "application/json"}

// formatOf returns the format of a request, nil if there is none. A request that has attributes of a CloudEvent in its
// header is one in binary mode, unless its body is a CloudEvent: those attributes are copies for routers.
func (c *call) formatOf(header *fasthttp.RequestHeader) (*format, *event.Problem) {
	contentType := header.ContentType()
	version, kind := fieldOf(header, "Ce-Specversion"), fieldOf(header, "Ce-Type")
	const structured = "application/cloudevents"
	if version.times+kind.times == 0 ||
		len(contentType) >= len(structured) && bytes.EqualFold(contentType[:len(structured)], []byte(structured)) {
		return formatOf(contentType), nil
	}
	c.cloud.ContentType = contentType
	for _, a := range [...]struct {
		name string
		to   *[]byte
	}{
		{"Ce-Specversion", &c.cloud.SpecVersion},
		{"Ce-Type", &c.cloud.Type},
		{"Ce-Source", &c.cloud.Source},
		{"Ce-Id", &c.cloud.ID},
		{"Ce-Subject", &c.cloud.Subject},
		{"Ce-Time", &c.cloud.Time},
	} {
		f := fieldOf(header, a.name)
		if f.times > 1 {
			return nil, &event.Problem{
				Code: event.InvalidArgument, Field: a.name, Detail: a.name + ": must stand there once",
			}
		}
		if *a.to = f.value; f.times > 0 && f.value == nil {
			*a.to = []byte{}
		}
	}
	return &binaryFormat, nil
}
