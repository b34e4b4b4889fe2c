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

	"github.com/meterd/meterd/event/wire"
)

// stream keeps one event stream (GET /v1/stream) open as long as somebody needs it. It is safe for concurrent use.
type stream struct {
	client *Client
	url    string
	turn   chan struct{} // holds a token while somebody opens

	mu    sync.Mutex
	conn  *streamConn // nil before the first
	place string      // of the last command that was carried out: a new stream goes on behind it
}

// streamProtocol is the WebSocket subprotocol.
const streamProtocol = "meterd.v1"

// get returns the open stream, and opens one if there is none.
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
	c, err := s.open(ctx)
	if err != nil {
		err.Ambiguous = false // No batch was sent.
		return nil, err
	}
	s.mu.Lock()
	s.conn = c
	s.mu.Unlock()
	return c, nil
}

// current returns the stream, nil if none is open.
func (s *stream) current() *streamConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.hasEnded() {
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
}

// heard notes that everything up to the command with this id was carried out.
func (s *stream) heard(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place = id
}

// open shakes hands and reads the welcome.
func (s *stream) open(ctx context.Context) (*streamConn, *UnavailableError) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // It never fails.
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
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
	c := newStreamConn(socket, s.client.opts)
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
func (s *stream) ask(ctx context.Context, body []byte, sequence uint64) (reply, *UnavailableError) {
	c, refusal := s.get(ctx)
	if refusal != nil {
		return reply{}, refusal
	}
	w, err := c.enter(ctx, sequence, len(body)+wire.FrameOverheadMax)
	if err != nil {
		return reply{}, &UnavailableError{Err: err}
	}
	stop := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	defer stop()
	c.send(&wire.Frame{Sequence: sequence, Kind: wire.FrameBatch, Body: body})
	select {
	case <-w.done:
	case <-c.ended:
		select {
		case <-w.done: // It came just before.
		default:
			return reply{}, &UnavailableError{Ambiguous: true, Err: c.err}
		}
	}
	if w.refusal != nil {
		return reply{}, unavailable(w.refusal)
	}
	return reply{body: w.answer, isBatch: true, replayed: w.replayed}, nil
}
