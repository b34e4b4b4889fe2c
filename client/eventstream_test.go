package client

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll returns the events of a stream as text.
func readAll(r io.Reader) (events []string, err error) {
	s := newEventStream(r, commandLineBytesMax, commandBytesMax)
	for {
		e, err := s.next()
		if err != nil {
			return events, err
		}
		events = append(events, fmt.Sprintf("%+v", e))
	}
}

// FuzzEventStream: whatever comes, and however it is cut into packets, gives the same events, within the bounds, and a
// command that is understood names what it is about.
func FuzzEventStream(f *testing.F) {
	f.Add([]byte(disconnect("1.1", "d1") + disconnect("", "d2")))
	f.Add([]byte("event: refresh\r\ndata: {\"product\":\"p\"}\r\rdata\n\n:\n\nid\n\n"))
	f.Add([]byte("\uFEFFevent:refresh\ndata:{\ndata: \"product\":\"p\"}\nid:\x00\n\nretry: 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newEventStream(bytes.NewReader(text), commandLineBytesMax, commandBytesMax)
		for {
			e, err := s.next()
			if err != nil {
				break
			}
			if len(e.data) > commandBytesMax || len(e.id) > commandIDBytesMax || len(s.line) > commandLineBytesMax {
				t.Fatalf("over the bounds: %+v", e)
			}
			cmd, ok := parseCommand(e.name, e.data)
			if ok != (cmd.Kind.String() != "") ||
				ok && (cmd.Product == "" || (cmd.Device != "") != (cmd.Kind == CommandDisconnect)) {
				t.Fatalf("%q %q was taken for %+v", e.name, e.data, cmd)
			}
		}
		whole, wholeErr := readAll(bytes.NewReader(text))
		cut, cutErr := readAll(iotest.OneByteReader(bytes.NewReader(text)))
		if strings.Join(whole, "\n") != strings.Join(cut, "\n") || fmt.Sprint(wholeErr) != fmt.Sprint(cutErr) {
			t.Fatalf("%q (%v) cut into bytes is %q (%v)", whole, wholeErr, cut, cutErr)
		}
	})
}

func TestEventStreamEndsLinesAsItLikes(t *testing.T) {
	lines := []string{
		"event: disconnect",
		"data: {",
		"data: }",
		"id: 3",
		"",
		": beat",
		"",
		"",
		"event:  two spaces",
		"id",
		"",
		"data",
		"data",
		"",
	}
	for _, end := range []string{"\n", "\r\n", "\r"} {
		got, err := readAll(strings.NewReader(strings.Join(lines, end) + end))
		want := []streamEvent{
			{name: "disconnect", data: []byte("{\n}"), id: "3", hasID: true},
			{name: " two spaces", hasID: true},
			{data: []byte("\n")},
		}
		if len(got) != len(want) || err == nil {
			t.Fatalf("end %q: %d events, %v: %q", end, len(got), err, got)
		}
		for i := range want {
			if got[i] != fmt.Sprintf("%+v", want[i]) {
				t.Errorf("end %q: event %d is %s", end, i, got[i])
			}
		}
	}
}
