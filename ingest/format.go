package ingest

import (
	"bytes"
	"strings"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// format is one encoding of a batch and its answer.
type format struct {
	contentType string
	// seed makes equal bytes in different formats hash differently: a sequence belongs to one body in one format.
	seed uint64
	// decode fills a batch; single says that it was one event, not a batch of one.
	decode func(b *event.Batch, body []byte) (single bool, p *event.Problem)
	// answer appends the answer to a batch. A single event is answered in JSON, a refusal as problem+json, in every
	// format.
	answer     func(dst []byte, r *event.Result) []byte
	answerType string
}

// formats lists all formats. JSON and NDJSON share a seed, and so do the two of CloudEvents: the remembered answer says
// whether the body was a batch.
var formats = [...]format{
	{
		contentType: "application/x-ndjson", answer: wire.AppendResult, answerType: "application/json",
		decode: func(b *event.Batch, body []byte) (bool, *event.Problem) { return false, wire.DecodeNDJSON(b, body) },
	},
	{
		contentType: "application/json",
		answer:      wire.AppendResult,
		answerType:  "application/json",
		decode:      wire.DecodeJSON,
	},
	{
		contentType: "application/x-protobuf",
		seed:        1,
		answer:      wire.AppendResultProtobuf,
		answerType:  "application/x-protobuf",
		decode: func(b *event.Batch, body []byte) (bool, *event.Problem) {
			return false, wire.DecodeProtobuf(b, body)
		},
	},
	{
		contentType: "application/cloudevents+json",
		seed:        2,
		answer:      wire.AppendResult,
		answerType:  "application/json",
		decode: func(b *event.Batch, body []byte) (bool, *event.Problem) {
			return true, wire.DecodeCloudEvent(b, body)
		},
	},
	{
		contentType: "application/cloudevents-batch+json",
		seed:        2,
		answer:      wire.AppendResult,
		answerType:  "application/json",
		decode: func(b *event.Batch, body []byte) (bool, *event.Problem) {
			return false, wire.DecodeCloudEvents(b, body)
		},
	},
}

// batchFormat is the format of the batches of event streams.
func batchFormat() *format { return formatOf([]byte("application/x-protobuf")) }

// formatOf returns the format that a Content-Type names, nil if there is none. Parameters are ignored.
func formatOf(contentType []byte) *format {
	kind, _, _ := bytes.Cut(contentType, []byte{';'})
	kind = bytes.TrimSpace(kind)
	for i := range formats {
		if bytes.EqualFold(kind, []byte(formats[i].contentType)) { // The compiler converts on the stack.
			return &formats[i]
		}
	}
	return nil
}

func unsupportedMedia() *event.Problem {
	names := make([]string, len(formats))
	for i := range formats {
		names[i] = formats[i].contentType
	}
	return &event.Problem{
		Code:   event.UnsupportedMedia,
		Field:  "Content-Type",
		Detail: "Content-Type: must be one of " + strings.Join(names, ", "),
	}
}
