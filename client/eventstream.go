package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// eventStream reads server-sent events as https://html.spec.whatwg.org/multipage/server-sent-events.html has them:
// lines of "field: value" that end with CR, LF or both; an empty line ends an event; a line that begins with a colon
// says nothing. It holds no more than lineBytesMax of a line and dataBytesMax of an event's data, whatever is sent.
type eventStream struct {
	r      *bufio.Reader
	line   []byte
	begun  bool // the first line was read
	skipLF bool // the line before ended with CR; an LF that follows belongs to it

	lineBytesMax, dataBytesMax int
}

// streamEvent is one event.
type streamEvent struct {
	name    string
	data    []byte // the reader's until the next event
	id      string // where the stream goes on behind this event
	hasID   bool   // without it the id of the event before still holds
	damaged bool   // parts of it were too long and are missing
}

func newEventStream(r io.Reader, lineBytesMax, dataBytesMax int) *eventStream {
	return &eventStream{
		r: bufio.NewReaderSize(r, commandLineBytesMax), lineBytesMax: lineBytesMax, dataBytesMax: dataBytesMax,
	}
}

// next returns the next event, or what ended the stream. What stands behind the last empty line is no event.
func (s *eventStream) next() (streamEvent, error) {
	var e streamEvent
	lines := 0
	for {
		line, whole, err := s.readLine()
		switch {
		case err != nil:
			return streamEvent{}, err
		case len(line) == 0 && lines == 0:
			continue // Empty lines between events, or behind a comment.
		case len(line) == 0:
			return e, nil
		case line[0] == ':':
			continue // A heartbeat.
		}
		lines++
		if !whole {
			e.damaged = true
			continue
		}
		e.take(line, s.dataBytesMax)
	}
}

// take adds one line to e. Unknown fields say nothing.
func (e *streamEvent) take(line []byte, dataBytesMax int) {
	field, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(field) {
	case "event":
		e.name = string(value)
	case "data":
		switch {
		case len(e.data)+len(value) >= dataBytesMax:
			e.damaged = true
			return
		case e.data == nil:
			e.data = []byte{}
		default:
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, value...)
	case "id":
		// One that could not be sent back in a header is none.
		if len(value) <= commandIDBytesMax && !bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			e.id, e.hasID = string(value), true
		}
	}
}

// readLine returns a line without its end, valid until the next call; whole is false when only its beginning was kept.
func (s *eventStream) readLine() (line []byte, whole bool, err error) {
	s.line, whole = s.line[:0], true
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // Such a stream has no end of its own.
			}
			return nil, false, err
		}
		switch {
		case c == '\n' && s.skipLF:
			s.skipLF = false
			continue
		case c == '\n' || c == '\r':
			s.skipLF = c == '\r'
			if !s.begun {
				s.begun = true
				s.line = bytes.TrimPrefix(s.line, []byte("\uFEFF"))
			}
			return s.line, whole, nil
		}
		s.skipLF = false
		if len(s.line) < s.lineBytesMax {
			s.line = append(s.line, c)
		} else {
			whole = false
		}
	}
}
