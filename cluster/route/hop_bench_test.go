package route

import (
	"log/slog"
	"net"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// BenchmarkHop is what a small request costs through a router; what the client and the cell take is in it.
func BenchmarkHop(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	cell := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"accepted":1}`) }}
	go func() { _ = cell.Serve(ln) }() // It ends with ln.
	board := &owners{}
	board.set(0, "n1", ln.Addr().String())
	r, err := New(Options{
		Cells: 1, Board: board, Hop: "key", Catalogues: func(int) *license.Catalogue { return nil },
		Documents: func(*fasthttp.RequestCtx) {}, Metrics: func() []metric.Part { return nil },
		Leaving: func() bool { return false },
	})
	if err != nil {
		b.Fatal(err)
	}
	server, err := ingest.Listen("127.0.0.1:0", nil, r.Handle, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Shutdown(b.Context()) }() // Nothing is in hand.
	for name, at := range map[string]string{"direct": ln.Addr().String(), "hop": server.Address().String()} {
		b.Run(name, func(b *testing.B) {
			client := &fasthttp.HostClient{Addr: at, MaxConns: 64}
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				req.SetRequestURI("http://" + at + "/v1/events")
				req.Header.SetMethod(fasthttp.MethodPost)
				req.Header.SetContentType("application/json")
				req.SetBodyString(`{"type":"up","product":"hop","device":"d1","size":120}`)
				for pb.Next() {
					if err := client.Do(req, resp); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	r.links.close()
}
