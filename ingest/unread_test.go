package ingest

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// TestUnreadAnswersAreBounded: whoever asks again and again and reads nothing holds no more than the bound, and loses
// his oldest connections; another one's answer, older than all of them, stays and is read whole. What was read or cut
// is free.
func TestUnreadAnswersAreBounded(t *testing.T) {
	const size, fit, asked = 8 << 20, 6, 20
	body := make([]byte, size) // More than the buffers of two sockets take.
	h := &Handler{people: func(ctx *fasthttp.RequestCtx) { ctx.Response.SetBodyRaw(body) }}
	h.unread.most = fit * size
	server, err := Listen("127.0.0.1:0", nil, h.Handle, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(who string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", server.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // It may be closed already.
		if _, err := fmt.Fprintf(conn, "GET /v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", who); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	is := func(what string, bytes int64, cut uint64) {
		t.Helper()
		for began := time.Now(); h.unread.size() != bytes || h.unread.cut.Load() != cut; runtime.Gosched() {
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: %d bytes are held, %d were cut; want %d and %d", what, h.unread.size(), h.unread.cut.Load(),
					bytes, cut)
			}
		}
	}
	read := func(conn net.Conn) (n int64, err error) {
		t.Helper()
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0, err
		}
		return io.Copy(io.Discard, answer.Body)
	}
	patient := ask("patient")
	is("one", size, 0)
	var greedy []net.Conn
	for i := range asked {
		greedy = append(greedy, ask("greedy"))
		is("greedy", size*int64(min(fit, i+2)), uint64(max(0, i+2-fit)))
	}
	if n, err := read(patient); n != size || err != nil {
		t.Errorf("who left one answer unread reads %d bytes of it, %v", n, err)
	}
	is("the patient one has read", size*(fit-1), asked+1-fit)
	if n, err := read(greedy[asked-1]); n != size || err != nil {
		t.Errorf("the newest answer: %d bytes, %v", n, err)
	}
	if n, err := read(greedy[0]); n == size || err == nil {
		t.Errorf("the oldest answer was read whole")
	}
	for _, conn := range greedy {
		_ = conn.Close() // Two of them are closed.
	}
	is("all are gone", 0, asked+1-fit)
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
