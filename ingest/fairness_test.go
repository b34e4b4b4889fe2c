package ingest

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// Two clients that pipeline many requests are served alternately: neither waits until the other has all its answers.
func TestPipeliningIsFair(t *testing.T) {
	const requests = 200
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var mu sync.Mutex
	var order []string
	entered := make(chan struct{}, 2*requests)
	server, err := Listen("127.0.0.1:0", nil, func(ctx *fasthttp.RequestCtx) {
		entered <- struct{}{}
		mu.Lock()
		defer mu.Unlock()
		order = append(order, string(ctx.Path()))
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/a", "/b"}
	var conns []net.Conn
	mu.Lock() // No request is answered before both clients are being served.
	for _, path := range paths {
		conn, err := net.Dial("tcp", server.Address().String())
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(patience))
		}
		if err == nil {
			_, err = conn.Write([]byte(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", requests)))
		}
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for range paths {
		select {
		case <-entered:
		case <-time.After(patience):
			t.Fatal("the clients are not served")
		}
	}
	mu.Unlock()
	for _, conn := range conns {
		in := bufio.NewReader(conn)
		for range requests {
			var r fasthttp.Response
			if err := r.Read(in); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	first := strings.Join(order[:requests], "")
	for _, path := range paths {
		if n := strings.Count(first, path); n < requests/4 {
			t.Errorf("of the first %d requests only %d were %s's", requests, n, path)
		}
	}
}
