package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// A body in chunks that stops between two of them is truncated: it is refused whole and changes nothing.
func TestTruncatedChunks(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", `{}`)
	d.batch(line("connect", "p", "d"))
	chunk := line("up", "p", "d") + "\n"
	chunk = fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk)
	for _, tt := range []struct {
		body   string
		status int
	}{
		{chunk + chunk, 400},
		{chunk + "0\r\n", 400},
		{chunk + chunk + "0\r\n\r\n", 200},
	} {
		c, err := net.Dial("tcp", d.run.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(
			c,
			"POST /v1/events HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\n"+
				"Transfer-Encoding: chunked\r\n\r\n%s",
			d.token,
			tt.body,
		)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != tt.status {
			t.Errorf("%q: %d %s, want %d", tt.body, answer.StatusCode, text, tt.status)
		}
	}
	if up := d.device("p", "d").Messages.Up; up != 2 {
		t.Errorf("%d messages counted, 2 came whole", up)
	}
}
