package ingest

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// The limit leaves descriptors to files.
func TestConnLimitLeavesDescriptors(t *testing.T) {
	for descriptors, want := range map[uint64]int64{
		16: 4, 64: 16, 128: 32, 200: 72, 256: 128, 1024: 512, 4096: 3584, 20_000: 19_488, 1 << 20: 2 * connectionsMax,
		1<<64 - 1: 2 * connectionsMax,
	} {
		if got := connsFor(descriptors); got != want {
			t.Errorf("of %d descriptors %d are for connections, want %d", descriptors, got, want)
		}
	}
}

// A connection above the limit is answered 503; a closed connection makes room, whether a loop or fasthttp served it.
func TestTooManyConnections(t *testing.T) {
	d := newGuardedDoor(t)
	server, err := Listen("127.0.0.1:0", nil, Starting, slog.New(slog.DiscardHandler))
	d.must(err)
	d.Cleanup(func() { d.must(server.Shutdown(context.Background())) })
	others := server.limit.max - 2
	server.limit.open.Store(others)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", server.Address().String())
		d.must(err)
		d.must(conn.SetDeadline(time.Now().Add(patience)))
		return conn
	}
	ask := func(conn net.Conn, request string, status int) {
		t.Helper()
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		var r fasthttp.Response
		if err := r.Read(bufio.NewReader(conn)); err != nil || r.StatusCode() != status {
			t.Fatalf("answered %d, %v, want %d", r.StatusCode(), err, status)
		}
	}
	const general = "GET /v1/producers/p HTTP/1.1\r\nHost: meterd\r\n\r\n"
	ask(dial(), general, fasthttp.StatusServiceUnavailable) // The daemon is starting and closes the connection.
	d.must(server.Open(d.handler))
	plain := plainLine + "Host: meterd\r\nAuthorization: Bearer " + d.secrets["gateway"] +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(upOfPa)) + "\r\n\r\n" + upOfPa
	for range 3 {
		for server.limit.open.Load() > others {
			runtime.Gosched()
		}
		onLoop, onHTTP := dial(), dial()
		ask(onLoop, plain, fasthttp.StatusForbidden) // The device never connected.
		ask(onHTTP, general, fasthttp.StatusUnauthorized)
		var r fasthttp.Response
		d.must(r.Read(bufio.NewReader(dial())))
		if r.StatusCode() != fasthttp.StatusServiceUnavailable || len(r.Header.Peek("Retry-After")) == 0 ||
			!r.ConnectionClose() {
			t.Fatalf("above the limit: %s", &r)
		}
		ask(onLoop, plain, fasthttp.StatusForbidden)
		d.must(onLoop.Close())
		d.must(onHTTP.Close())
	}
	if n := server.limit.refused.Load(); n != 3 {
		t.Errorf("%d refused, want 3", n)
	}
}
