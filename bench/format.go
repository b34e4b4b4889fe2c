package bench

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The formats of a batch, as --format names them.
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
	// appendBatch appends a batch of at least one event. A batch holds only connects or only messages.
	appendBatch(dst []byte, batch []message) []byte
}

func newEncoder(format, product string, payloadBytes int, payload draws) encoder {
	if format == FormatProtobuf {
		return newColumns(product, payloadBytes, payload)
	}
	return newLines(product, payloadBytes, payload)
}

// answer checks answers: the whole batch must be accepted, or denied with one code.
type answer struct {
	format string
	code   string // empty: accepted
	events int
	text   []byte // the right answer to a batch of that many events
}

var errNotAll = errors.New("the answer does not say the same of the whole batch")

// judge compares an answer byte by byte. The answer to a denied batch names limits and times, so the first one is
// decoded, and the next ones to batches of the same size must be equal.
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

// appendAccepted appends the answer to a batch that was accepted whole.
func appendAccepted(dst []byte, format string, events int) []byte {
	if format == FormatProtobuf {
		return binary.AppendUvarint(append(dst, 1<<3), uint64(events))
	}
	return fmt.Appendf(dst, `{"accepted":%d,"denied":[]}`, events)
}

// denial is the part of a denial that is checked.
type denial struct {
	Index int
	Code  string
}

// read decodes an answer that must deny every event with the one code.
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

// decodeAnswer decodes a meterd.v1.Answer.
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

// eachField calls yield for each field of a message, with the value of a varint or the text of a length-delimited
// field.
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
