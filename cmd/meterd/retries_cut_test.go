package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
)

// cutLineBytes is the length of a line with its end.
const cutLineBytes = 128

// cutLine is a message whose line is cutLineBytes long, and hardly gets shorter when it is compressed.
func cutLine(dice *rand.Rand) string {
	line := `{"type":"up","product":"p1","device":"d1","topic":"`
	for len(line) < cutLineBytes-3 {
		line += string(rune('A' + dice.IntN(26)))
	}
	return line + "\"}\n"
}

// TestBodyCutBetweenLines: a connection that is cut in the middle of a body must not leave a shorter batch that looks
// whole, for the request is sent again under its sequence. The cuts here are between two lines, where what has arrived
// is well-formed.
func TestBodyCutBetweenLines(t *testing.T) {
	t.Parallel()
	d := sequencesDaemon(t)
	var body []byte
	for dice := newDice(1, 0); len(body) < 2048*cutLineBytes; {
		body = append(body, cutLine(dice)...)
	}
	framed, frames := inFrames(t, body, 400*cutLineBytes)
	type cut struct {
		encoding string
		body     []byte
		at       int
	}
	var cuts []cut
	for _, lines := range []int{1, 2, 63, 64, 65, 66, 127, 128, 129, 500, 1024, 2047} {
		cuts = append(cuts, cut{"identity", body, lines * cutLineBytes}, cut{"identity", body, lines*cutLineBytes - 1})
	}
	for _, at := range frames {
		cuts = append(cuts, cut{"snappy", framed, at})
	}
	for i, c := range cuts {
		head := fmt.Sprintf(
			"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nMeterd-Producer: gw\r\n"+
				"Meterd-Sequence: %d\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n",
			d.token,
			asNDJSON,
			i,
			c.encoding,
			len(c.body),
		)
		if status := d.half(head, c.body[:c.at]); status != 0 && status != http.StatusBadRequest {
			t.Errorf("%s, %d of %d bytes: answered %d", c.encoding, c.at, len(c.body), status)
		}
	}
	d.ask("GET", "/v1/producers/gw", "").refuse(t, 404, "not_found")
	if v := d.device("p1", "d1"); v.Messages.Up+v.Messages.Denied != 0 {
		t.Errorf("half a batch counted: %+v", v.Messages)
	}
	for i, c := range cuts[len(cuts)-2:] {
		d.sequenced("gw", fmt.Sprint(len(cuts)-2+i), asNDJSON, string(c.body), "Content-Encoding", c.encoding).fresh(t)
	}
}

// inFrames returns body in snappy, and where to cut it so that whole frames of frameBytes remain: nothing in this
// format says that one is the last.
func inFrames(t *testing.T, body []byte, frameBytes int) (framed []byte, ends []int) {
	t.Helper()
	var b bytes.Buffer
	w := snappy.NewBufferedWriter(&b)
	for piece := range slices.Chunk(body, frameBytes) {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, b.Len())
	}
	return b.Bytes(), ends[:len(ends)-1]
}

// half sends a part of a request and no more, and returns the status of the answer, 0 without one.
func (d *daemon) half(head string, body []byte) int {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.run.address)
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.Copy(conn, io.MultiReader(strings.NewReader(head), bytes.NewReader(body))); err != nil {
		return 0
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
