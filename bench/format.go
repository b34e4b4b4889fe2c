package bench

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The formats of a batch, by their names in --format.
const (
	FormatProtobuf = "protobuf"
	FormatNDJSON   = "ndjson"
)

// formats are all formats, the fast one first.
var formats = [...]string{FormatProtobuf, FormatNDJSON}

func isFormat(name string) bool { return slices.Contains(formats[:], name) }

func formatNames() string { return strings.Join(formats[:], ", ") }

func contentType(format string) string {
	if format == FormatProtobuf {
		return "application/x-protobuf"
	}
	return "application/x-ndjson"
}

// encoder writes batches.
type encoder interface {
	// appendBatch appends a batch of at least one event, either of connects alone or of messages alone.
	appendBatch(dst []byte, batch []message) []byte
}

func newEncoder(format, product string, payloadBytes int, payload draws) encoder {
	if format == FormatProtobuf {
		return newColumns(product, payloadBytes, payload)
	}
	return newLines(product, payloadBytes, payload)
}

// answer judges answers: all of a batch was accepted, or all of it was denied with one code.
type answer struct {
	format string
	code   string // empty: accepted
	events int
	text   []byte // what such a batch of that many events is answered
}

var errNotAll = errors.New("the answer does not say the same of the whole batch")

// judge compares an answer byte by byte. The answer to a batch that was denied names limits and times: the first one is
// read with care, and the next ones, to batches as large, must be the same.
func (a *answer) judge(body []byte, events int) error {
	if a.events == events && string(body) == string(a.text) {
		return nil
	}
	if a.code == "" && a.events != events {
		a.events, a.text = events, appendAccepted(a.text[:0], a.format, events)
		return a.judge(body, events)
	}
	if a.code != "" {
		err := a.read(body, events)
		if err == nil {
			a.events, a.text = events, append(a.text[:0], body...)
		}
		return err
	}
	return errNotAll
}

// appendAccepted appends the answer to a batch of which all was accepted.
func appendAccepted(dst []byte, format string, events int) []byte {
	if format == FormatProtobuf {
		return binary.AppendUvarint(append(dst, 1<<3), uint64(events))
	}
	return fmt.Appendf(dst, `{"accepted":%d,"denied":[]}`, events)
}

// denial is what matters of one.
type denial struct {
	Index int
	Code  string
}

// read reads an answer that must deny everything with the one code.
func (a *answer) read(body []byte, events int) error {
	var accepted int
	var denied []denial
	var err error
	if a.format == FormatProtobuf {
		accepted, denied, err = decodeAnswer(body)
	} else {
		var said struct {
			Accepted int
			Denied   []denial
		}
		err = json.Unmarshal(body, &said)
		accepted, denied = said.Accepted, said.Denied
	}
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if accepted != 0 || len(denied) != events {
		return errNotAll
	}
	for i, d := range denied {
		if d.Index != i || d.Code != a.code {
			return errNotAll
		}
	}
	return nil
}

var errProtobuf = errors.New("malformed protobuf")

// decodeAnswer reads a meterd.v1.Answer.
func decodeAnswer(b []byte) (accepted int, denied []denial, err error) {
	err = eachField(b, func(field, value uint64, text []byte) error {
		switch field {
		case 1:
			accepted = int(value)
		case 2:
			var d denial
			denied = append(denied, d)
			last := &denied[len(denied)-1]
			return eachField(text, func(field, value uint64, text []byte) error {
				switch field {
				case 1:
					last.Index = int(value)
				case 2:
					last.Code = string(text)
				}
				return nil
			})
		}
		return nil
	})
	return accepted, denied, err
}

// eachField calls yield for each field of a message: of a varint its value, of what has a length its text.
func eachField(b []byte, yield func(field, value uint64, text []byte) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag&7 != 0 && tag&7 != 2 {
			return errProtobuf
		}
		b = b[n:]
		value, n := binary.Uvarint(b)
		if n <= 0 {
			return errProtobuf
		}
		b = b[n:]
		var text []byte
		if tag&7 == 2 {
			if value > uint64(len(b)) {
				return errProtobuf
			}
			text, b = b[:value], b[value:]
		}
		if err := yield(tag>>3, value, text); err != nil {
			return err
		}
	}
	return nil
}
