package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/metric"
)

// Server listens and passes requests to a handler. The handler can be replaced while the server runs: while the engine
// recovers, Starting answers /livez.
type Server struct {
	http       *fasthttp.Server
	listener   net.Listener
	limit      *connLimit
	dispatcher *dispatcher // nil with TLS
	handler    atomic.Pointer[fasthttp.RequestHandler]
	served     chan error
}

// Listen binds address and serves handler. With a TLS configuration it speaks HTTPS.
func Listen(address string, config *tls.Config, handler fasthttp.RequestHandler, logger *slog.Logger) (*Server, error) {
	listening := net.ListenConfig{Control: inherited}
	ln, err := listening.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	s := &Server{listener: ln, served: make(chan error, 1)}
	if ln, err = s.source(ln.(*net.TCPListener), config); err != nil {
		return nil, errors.Join(err, s.listener.Close())
	}
	s.Handle(handler)
	s.http = &fasthttp.Server{
		Handler:               s.answer,
		ErrorHandler:          malformed,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		StreamRequestBody:     true,
		// No request here is a form: the handler reads the body, whatever its Content-Type says.
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               headerBytesMax,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		Concurrency:                  connectionsMax,
		TCPKeepalive:                 true,
		CloseOnShutdown:              true,
		// Event streams go on in goroutines of their own, which hold nothing of the request (stream.go).
		KeepHijackedConns: true,
		Logger:            quiet{logger},
	}
	go func() { s.served <- s.http.Serve(ln) }()
	return s, nil
}

// source returns the listener that fasthttp accepts from: the dispatcher, or with TLS the port itself.
func (s *Server) source(ln *net.TCPListener, config *tls.Config) (from net.Listener, err error) {
	if s.limit, err = newConnLimit(); err != nil {
		return nil, err
	}
	if config != nil {
		return watchedListener{tls.NewListener(ln, config), s.limit}, nil
	}
	s.dispatcher, err = newDispatcher(ln, s.limit)
	return s.dispatcher, err
}

// RegisterMetrics adds the server's metrics to set.
func (s *Server) RegisterMetrics(set *metric.Set) {
	set.Gauges("meterd_connections", "Connections that are open.").Func(func() float64 {
		return float64(s.limit.open.Load())
	})
	set.Counters("meterd_connections_refused_total", "Connections that were refused because too many were open.").Func(
		func() float64 { return float64(s.limit.refused.Load()) },
	)
}

func (s *Server) answer(ctx *fasthttp.RequestCtx) {
	ctx.Conn().(*connection).yield()
	(*s.handler.Load())(ctx)
	if !ctx.Request.Header.IsHTTP11() && isEndless(&ctx.Response) {
		untilClose(ctx)
	}
}

// Handle makes handler answer from now on.
func (s *Server) Handle(handler fasthttp.RequestHandler) { s.handler.Store(&handler) }

// Open makes h answer from now on. Without TLS, loops answer plain requests.
func (s *Server) Open(h *Handler) error {
	s.Handle(h.Handle)
	if s.dispatcher == nil {
		return nil
	}
	return s.dispatcher.open(h)
}

// Address returns where the server listens.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// Shutdown accepts no more connections and returns when every request that was read is answered, or ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	var loops error
	if s.dispatcher != nil {
		loops = s.dispatcher.stop(ctx)
	}
	err := errors.Join(loops, s.http.ShutdownWithContext(ctx))
	// If Serve has not started yet, fasthttp has no listener to close and would accept later, for ever.
	_ = s.listener.Close()
	if err != nil {
		return fmt.Errorf("finish the requests that were read: %w", err)
	}
	return <-s.served
}

// malformed answers a request that fasthttp could not read.
func malformed(ctx *fasthttp.RequestCtx, err error) {
	p := &event.Problem{Code: event.BadRequest, Detail: "the request is not well-formed HTTP"}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p = tooSlow()
	}
	var small *fasthttp.ErrSmallBuffer
	if errors.As(err, &small) {
		p.Detail = fmt.Sprintf("the header is over %d bytes", headerBytesMax)
	}
	writeProblem(&ctx.Response, p)
	ctx.SetConnectionClose()
}

// quiet keeps fasthttp from logging what clients do: nothing is logged per request.
type quiet struct{ logger *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, args ...any) {
	q.logger.Debug("http server", "message", fmt.Sprintf(format, args...))
}
