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

func TestPlacesLeaveDescriptors(t *testing.T) {
	for descriptors, want := range map[uint64]int64{
		16: 4, 64: 16, 128: 32, 200: 72, 256: 128, 1024: 512, 4096: 3584, 20_000: 19_488, 1 << 20: 2 * connectionsMax, 1<<64 - 1: 2 * connectionsMax,
	} {
		if got := placesOf(descriptors); got != want {
			t.Errorf("%d descriptors are %d places, want %d", descriptors, got, want)
		}
	}
}

// Who finds no place is told so, over TCP as a client would; a place is free again whoever looked after its connection.
func TestNoPlace(t *testing.T) {
	d := newGuardedDoor(t)
	server, err := Listen("127.0.0.1:0", nil, Starting, slog.New(slog.DiscardHandler))
	d.must(err)
	d.Cleanup(func() { d.must(server.Shutdown(context.Background())) })
	others := server.places.most - 2
	server.places.taken.Store(others)
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
	ask(dial(), general, fasthttp.StatusServiceUnavailable) // The daemon starts, and closes it.
	d.must(server.Open(d.handler))
	plain := plainLine + "Host: meterd\r\nAuthorization: Bearer " + d.secrets["gateway"] +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(upOfPa)) + "\r\n\r\n" + upOfPa
	for range 3 {
		for server.places.taken.Load() > others {
			runtime.Gosched()
		}
		looped, handed := dial(), dial()
		ask(looped, plain, fasthttp.StatusForbidden) // It never connected.
		ask(handed, general, fasthttp.StatusUnauthorized)
		var r fasthttp.Response
		d.must(r.Read(bufio.NewReader(dial())))
		if r.StatusCode() != fasthttp.StatusServiceUnavailable || len(r.Header.Peek("Retry-After")) == 0 ||
			!r.ConnectionClose() {
			t.Fatalf("without a place: %s", &r)
		}
		ask(looped, plain, fasthttp.StatusForbidden)
		d.must(looped.Close())
		d.must(handed.Close())
	}
	if n := server.places.refused.Load(); n != 3 {
		t.Errorf("%d refused, want 3", n)
	}
}
