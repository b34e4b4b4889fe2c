package client

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/meterd/meterd/event/wire"
)

// stream keeps one event stream (GET /v1/stream) open as long as somebody needs it. It is safe for concurrent use.
type stream struct {
	client  *Client
	turn    chan struct{}  // holds a token while somebody opens
	leaving sync.WaitGroup // streams to nodes that are not asked any more, until what is on them was answered

	mu    sync.Mutex
	conn  *streamConn // nil before the first
	place string      // of the last command that was carried out: a new stream goes on behind it
}

// streamProtocol is the WebSocket subprotocol.
const streamProtocol = "meterd.v1"

// get returns the open stream, and opens one if there is none. What is on one to another node is still answered.
func (s *stream) get(ctx context.Context) (*streamConn, *UnavailableError) {
	if c := s.current(); c != nil {
		return c, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, &UnavailableError{Err: context.Cause(ctx)}
	}
	if c := s.current(); c != nil {
		return c, nil
	}
	n := s.client.nodes.current()
	c, err := s.open(ctx, n)
	if err != nil {
		if failed(err) {
			s.client.nodes.leave(n)
		}
		err.Ambiguous = false // No batch was sent.
		return nil, err
	}
	s.mu.Lock()
	old := s.conn
	s.conn = c
	s.mu.Unlock()
	if old != nil {
		s.retire(old)
	}
	return c, nil
}

// errMoved is why a stream ends on which nothing is left: another node is asked.
var errMoved = errors.New("another node is asked now")

// move has a stream to the node that is asked now take the place of the one that is open, if one is.
func (s *stream) move(ctx context.Context) {
	s.mu.Lock()
	isOpen := s.conn != nil && !s.conn.hasEnded()
	s.mu.Unlock()
	if isOpen {
		_, _ = s.get(ctx) // Whoever asks next tries again.
	}
}

// refuse leaves a stream whose node cannot decide b now, when that is so for others, too, or was for b before. One cell
// without an owner is refused by every node, and no reason to move the others.
func (s *stream) refuse(c *streamConn, b *batch) {
	b.refusals++
	if (c.refused.Add(1) >= refusalsMax || b.refusals%batchRefusalsMax == 0) && s.client.nodes.several() {
		s.client.nodes.leave(c.node)
	}
}

// retire ends a stream that another one took the place of, when everything that is on it was answered, or after
// Timeout.
func (s *stream) retire(c *streamConn) {
	close(c.moved)
	s.leaving.Go(func() {
		defer c.end(errMoved)
		late := time.NewTimer(s.client.opts.Timeout)
		defer late.Stop()
		for answered := c.idle(); answered != nil; answered = c.idle() {
			select {
			case <-answered:
			case <-c.ended:
				return
			case <-late.C:
				return
			case <-s.client.ctx.Done():
				return
			}
		}
	})
}

// current returns the stream to the node that is asked now, nil if none is open.
func (s *stream) current() *streamConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.hasEnded() || s.conn.node != s.client.nodes.current() {
		return nil
	}
	return s.conn
}

// close ends the stream, if one is open.
func (s *stream) close() {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		c.end(ErrClosed)
		c.running.Wait()
	}
	s.leaving.Wait()
}

// heard notes that everything up to the command with this id was carried out.
func (s *stream) heard(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place = id
}

// open shakes hands and reads the welcome.
func (s *stream) open(ctx context.Context, n *node) (*streamConn, *UnavailableError) {
	ctx, cancel := s.client.withTry(ctx)
	defer cancel()
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // It never fails.
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.urls[askedStream], nil)
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("build request: %w", err)}
	}
	maps.Copy(req.Header, s.client.header)
	req.Header.Del("Content-Type")
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
		"Sec-WebSocket-Protocol": streamProtocol,
	} {
		req.Header.Set(name, value)
	}
	s.mu.Lock()
	if s.place != "" {
		req.Header.Set("Last-Event-ID", s.place)
	}
	s.mu.Unlock()
	resp, err := s.client.http.Do(req)
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("open the stream: %w", err)}
	}
	socket, isSocket := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !isSocket {
		defer resp.Body.Close()
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, problemBytesMax)) // The status says enough.
		return nil, refusal(resp, answer)
	}
	if err := checkHandshake(resp.Header, key); err != nil {
		return nil, &UnavailableError{Err: errors.Join(err, socket.Close())}
	}
	c := newStreamConn(socket, n, s.client.opts)
	select {
	case <-c.welcomed:
		s.client.stats.streams.Add(1)
		return c, nil
	case <-c.ended:
		return nil, &UnavailableError{Err: c.err}
	case <-ctx.Done():
		c.end(context.Cause(ctx))
		return nil, &UnavailableError{Err: context.Cause(ctx)}
	}
}

// checkHandshake reports an answer that is not one to key (RFC 6455, 4.1).
func checkHandshake(h http.Header, key string) error {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if !strings.EqualFold(h.Get("Upgrade"), "websocket") ||
		h.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) ||
		h.Get("Sec-WebSocket-Protocol") != streamProtocol {
		return errors.New("open the stream: what answered does not speak " + streamProtocol)
	}
	return nil
}

// ask sends a batch and waits for its answer. Batches are answered in the order in which they were sent: one that gets
// none in time ends the stream, since those behind it would get none either.
func (s *stream) ask(ctx context.Context, b *batch) (reply, *UnavailableError) {
	c, refusal := s.get(ctx)
	if refusal != nil {
		return reply{}, refusal
	}
	w, err := c.enter(ctx, b.ticket.sequence, len(b.body)+wire.FrameOverheadMax)
	if err != nil {
		s.client.nodes.leave(c.node)
		return reply{}, &UnavailableError{Err: err}
	}
	stop := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	defer stop()
	c.send(&wire.Frame{Sequence: b.ticket.sequence, Kind: wire.FrameBatch, Body: b.body})
	select {
	case <-w.done:
	case <-c.ended:
		select {
		case <-w.done: // It came just before.
		default:
			s.client.nodes.leave(c.node)
			return reply{}, &UnavailableError{Ambiguous: true, Err: c.err}
		}
	}
	if w.refusal != nil {
		refusal := unavailable(w.refusal)
		if failed(refusal) {
			s.refuse(c, b)
		}
		return reply{}, refusal
	}
	c.refused.Store(0)
	return reply{from: c.node, body: w.answer, isBatch: true, replayed: w.replayed}, nil
}
