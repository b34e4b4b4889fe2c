package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
)

// ErrUnsent is that no owner had the whole of a request, so that nothing of it was done.
var ErrUnsent = errors.New("the cell has no owner that takes requests")

// Forward has the owner of a cell answer a request whose body is in memory, once, in its client's name. A reservation
// that is not 0 goes with it. The owner has until within is over to begin its answer. An error that wraps ErrUnsent
// says that nothing was done; after any other nobody knows.
func (r *Router) Forward(within context.Context, ctx *fasthttp.RequestCtx, cell int, reservation uint64) error {
	l, err := r.reachFor(within, ctx, cell)
	if err != nil {
		return fmt.Errorf("cell %d: %w: %w", cell, ErrUnsent, err)
	}
	stop := context.AfterFunc(within, l.end)
	defer stop()
	became, err := r.exchange(ctx, l, reservation)
	switch became {
	case answered:
		return nil
	case notSent:
		return fmt.Errorf("cell %d: %w: %w", cell, ErrUnsent, err)
	}
	return fmt.Errorf("cell %d: its owner did not answer: %w", cell, err)
}

// reply is what the owner of one cell answered.
type reply struct {
	status int
	header fasthttp.ResponseHeader
	body   []byte
}

// Ask has the owner of a cell answer what no client may ask for: POST to path, with the inner key. It returns the body
// of an answer 200; any other says that nothing was done, as an error that wraps ErrUnsent does.
func (r *Router) Ask(ctx context.Context, cell int, path string, body []byte) ([]byte, error) {
	p, err := r.ask(ctx, cell, body, innerBytesMax, func(l *link) { l.introduceInner(path, r.inner) })
	if err != nil {
		return nil, err
	}
	if p.status != fasthttp.StatusOK {
		return nil, fmt.Errorf("cell %d answered %d: %w", cell, p.status, ErrUnsent)
	}
	return p.body, nil
}

// Stream is Ask for an answer of any length: it is read as it comes, and must be closed.
func (r *Router) Stream(ctx context.Context, cell int, path string, body []byte) (io.ReadCloser, error) {
	l, err := r.reach(ctx, cell, forOthers, time.Now().Add(r.waitMax))
	if err != nil {
		return nil, fmt.Errorf("cell %d: %w: %w", cell, ErrUnsent, err)
	}
	stop := context.AfterFunc(ctx, l.end) // Before anything is waited for.
	l.introduceInner(path, r.inner)
	err = l.post(body)
	if err == nil {
		l.response.Reset()
		l.response.StreamBody = true
		err = l.response.ReadLimitBody(l.in, 0)
	}
	if err == nil && l.response.StatusCode() != fasthttp.StatusOK {
		err = fmt.Errorf("it answered %d", l.response.StatusCode())
	}
	if err != nil {
		stop()
		l.end()
		return nil, fmt.Errorf("cell %d: node %s: %w", cell, l.of.to.node, err)
	}
	return &streamed{l: l, stop: stop}, nil
}

// streamed is the body of an answer that one of this node reads.
type streamed struct {
	l    *link
	stop func() bool
}

// Read implements io.Reader.
func (s *streamed) Read(p []byte) (int, error) {
	s.l.hush()
	return s.l.response.BodyStream().Read(p)
}

// Close implements io.Closer. The connection is not used again: what is left on it nobody has read.
func (s *streamed) Close() error {
	s.stop()
	s.l.end()
	return nil
}

// ask sends a request whose header fill makes to the owner of a cell, and reads the answer into memory, most bytes of
// it at the most.
func (r *Router) ask(ctx context.Context, cell int, body []byte, most int, fill func(*link)) (p *reply, err error) {
	l, err := r.reach(ctx, cell, forOthers, time.Now().Add(r.waitMax))
	if err != nil {
		return nil, fmt.Errorf("cell %d: %w: %w", cell, ErrUnsent, err)
	}
	stop := context.AfterFunc(ctx, l.end)
	defer stop()
	fill(l)
	if err := l.post(body); err != nil {
		l.end()
		return nil, fmt.Errorf("cell %d: %w: %w", cell, ErrUnsent, err)
	}
	p, err = l.read(most)
	if err != nil {
		l.end()
		return nil, fmt.Errorf("cell %d: node %s did not answer: %w", cell, l.of.to.node, err)
	}
	if l.response.ConnectionClose() || !stop() {
		l.end()
	} else {
		l.keep()
	}
	return p, nil
}

// introduceInner makes the link's header that of a call that only nodes make.
func (l *link) introduceInner(path string, inner access.Hop) {
	h := &l.request
	h.Reset()
	h.SetNoDefaultContentType(true)
	h.SetMethod(fasthttp.MethodPost)
	h.SetRequestURI(path)
	h.SetHost(l.of.to.address)
	h.SetContentType("application/octet-stream")
	h.Set(access.HeaderHop, string(inner))
}

// post sends the link's header and a body.
func (l *link) post(body []byte) error {
	l.request.SetContentLength(len(body))
	l.allow()
	_, err := l.out.Write(l.request.Header())
	if err == nil {
		_, err = l.out.Write(body)
	}
	if err == nil {
		err = l.out.Flush()
	}
	_ = l.Conn.SetReadDeadline(time.Time{}) // It fails on a closed connection, as reading will.
	return err
}

// read reads an answer to its end.
func (l *link) read(most int) (*reply, error) {
	l.response.Reset()
	if err := l.response.ReadLimitBody(l.in, most); err != nil {
		return nil, err
	}
	p := &reply{status: l.response.StatusCode(), body: append([]byte(nil), l.response.Body()...)}
	l.response.Header.CopyTo(&p.header)
	return p, nil
}
