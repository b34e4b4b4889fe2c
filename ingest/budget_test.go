package ingest

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// TestBodiesKeepToTheBudget: bodies that are on their way take no more than the budget, compressed ones as much as they
// have inflated to; who comes beyond it is refused unread, and what was given back is there for the next one.
func TestBodiesKeepToTheBudget(t *testing.T) {
	d := newGuardedDoor(t)
	const body, fit = 64 << 10, 3
	d.handler.admission.most = fit*body*costFactor + costMin
	address := strings.TrimPrefix(d.serve(), "http://")
	send := func(more, begin string, length int) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		d.must(err)
		t.Cleanup(func() { _ = conn.Close() }) // It may be closed already.
		d.must(conn.SetDeadline(time.Now().Add(patience)))
		_, err = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/x-ndjson\r\n%sContent-Length: %d\r\n\r\n%s", d.secrets["gateway"], more, length, begin)
		d.must(err)
		return conn
	}
	used := func(what string, want int64) {
		t.Helper()
		for began := time.Now(); d.handler.admission.used.Load() != want; runtime.Gosched() {
			if time.Since(began) > patience {
				t.Fatalf("%s: %d bytes are charged, want %d", what, d.handler.admission.used.Load(), want)
			}
		}
	}
	refused := func(conn net.Conn) {
		t.Helper()
		var r fasthttp.Response
		if err := r.Read(bufio.NewReader(conn)); err != nil || r.StatusCode() != fasthttp.StatusServiceUnavailable {
			t.Errorf("beyond the budget: %v, %s", err, &r)
		}
	}
	begin := strings.Repeat("\n", headerBytesMax) // fasthttp waits for the first 8 KiB before it asks the handler.
	var slow []net.Conn
	for i := range fit {
		slow = append(slow, send("", begin, body))
		used("a body is announced", int64(i+1)*body*costFactor)
	}
	refused(send("", begin, body))
	for _, conn := range slow {
		d.must(conn.Close())
	}
	used("they are gone", 0)
	for _, encoding := range fuzzedEncodings[1:] {
		bomb := string(deflatedAs(t, encoding, make([]byte, 4*body)))
		refused(send("Content-Encoding: "+encoding+"\r\n", bomb, len(bomb)))
		used(encoding+" inflated to more than there is", 0)
	}
}
