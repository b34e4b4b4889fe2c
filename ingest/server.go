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

// Server listens and hands requests to a handler, which may be replaced while it runs: a daemon answers that it lives
// while it still recovers.
type Server struct {
	http     *fasthttp.Server
	listener net.Listener
	places   *places
	doorman  *doorman // nil with TLS
	handler  atomic.Pointer[fasthttp.RequestHandler]
	served   chan error
}

// Listen binds address and serves handler. With a TLS configuration it speaks HTTPS.
func Listen(address string, config *tls.Config, handler fasthttp.RequestHandler, logger *slog.Logger) (*Server, error) {
	listening := net.ListenConfig{Control: inherited}
	ln, err := listening.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	s := &Server{listener: ln, served: make(chan error, 1)}
	if ln, err = s.furnish(ln.(*net.TCPListener), config); err != nil {
		return nil, errors.Join(err, s.listener.Close())
	}
	s.Handle(handler)
	s.http = &fasthttp.Server{
		Handler:               s.answer,
		ErrorHandler:          malformed,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		StreamRequestBody:     true,
		// Nothing here is a form: whatever a body claims to be, it is read by who handles it.
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               headerBytesMax,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		Concurrency:                  connectionsMax,
		TCPKeepalive:                 true,
		CloseOnShutdown:              true,
		Logger:                       quiet{logger},
	}
	go func() { s.served <- s.http.Serve(ln) }()
	return s, nil
}

// furnish returns where fasthttp gets its connections from.
func (s *Server) furnish(ln *net.TCPListener, config *tls.Config) (from net.Listener, err error) {
	if s.places, err = newPlaces(); err != nil {
		return nil, err
	}
	if config != nil {
		return watchedListener{tls.NewListener(ln, config), s.places}, nil
	}
	s.doorman, err = newDoorman(ln, s.places)
	return s.doorman, err
}

// RegisterMetrics adds the server's metrics to set.
func (s *Server) RegisterMetrics(set *metric.Set) {
	set.Gauges("meterd_connections", "Connections that are open.").Func(func() float64 {
		return float64(s.places.taken.Load())
	})
	set.Counters("meterd_connections_refused_total", "Connections that were refused because too many were open.").Func(
		func() float64 { return float64(s.places.refused.Load()) },
	)
}

func (s *Server) answer(ctx *fasthttp.RequestCtx) {
	ctx.Conn().(*connection).giveWay()
	(*s.handler.Load())(ctx)
}

// Handle makes handler answer from now on.
func (s *Server) Handle(handler fasthttp.RequestHandler) { s.handler.Store(&handler) }

// Open makes h answer from now on, plain requests by loops unless they come over TLS.
func (s *Server) Open(h *Handler) error {
	s.Handle(h.Handle)
	if s.doorman == nil {
		return nil
	}
	return s.doorman.open(h)
}

// Address returns where the server listens.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// Shutdown takes no more connections and returns when every request in hand is answered, or ctx is over.
func (s *Server) Shutdown(ctx context.Context) error {
	var loops error
	if s.doorman != nil {
		loops = s.doorman.stop(ctx)
	}
	err := errors.Join(loops, s.http.ShutdownWithContext(ctx))
	// A server that does not accept yet knows no listener to close: it would accept afterwards, for ever.
	_ = s.listener.Close()
	if err != nil {
		return fmt.Errorf("finish requests in hand: %w", err)
	}
	return <-s.served
}

// malformed answers what fasthttp could not read as a request.
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
