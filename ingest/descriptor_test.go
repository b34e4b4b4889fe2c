package ingest

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// A handler can ask the kernel whether its client is still connected, also over TLS, without reading what the client
// sent meanwhile.
func TestConnectionsHaveADescriptor(t *testing.T) {
	forTLS := httptest.NewTLSServer(nil)
	forTLS.Close()
	for what, config := range map[string]*tls.Config{"plain": nil, "TLS": forTLS.TLS} {
		t.Run(what, func(t *testing.T) {
			arrived, finish := make(chan net.Conn), make(chan struct{})
			s, err := Listen("127.0.0.1:0", config, func(ctx *fasthttp.RequestCtx) {
				arrived <- ctx.Conn()
				<-finish
			}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				close(finish)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				if err := s.Shutdown(ctx); err != nil {
					t.Error(err)
				}
			}()
			client, err := net.Dial("tcp", s.Address().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if config != nil {
				client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
			}
			if _, err := io.WriteString(client, "GET /a HTTP/1.1\r\nHost: m\r\n\r\nGET /b HTTP/1.1\r\n"); err != nil {
				t.Fatal(err)
			}
			raw, err := (<-arrived).(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if hung(t, raw) {
				t.Error("a client that is there has gone")
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); !hung(t, raw); runtime.Gosched() {
				if time.Since(began) > patience {
					t.Fatal("a client that has gone is there")
				}
			}
		})
	}
}

func hung(t *testing.T, raw syscall.RawConn) bool {
	t.Helper()
	p := []unix.PollFd{{Events: unix.POLLRDHUP}}
	if err := raw.Control(func(fd uintptr) {
		p[0].Fd = int32(fd)
		if _, err := unix.Poll(p, 0); err != nil && err != unix.EINTR {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return p[0].Revents != 0
}
