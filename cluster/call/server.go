package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/meterd/meterd/event"
)

// Method answers one request. It must not return before what it answers is durable and proved to be this node's to say.
// A *event.Problem is told to the caller; after any other error nothing is.
type Method func(body json.RawMessage) (any, error)

// Handle makes a Method of a function with types.
func Handle[Request any](fn func(Request) (any, error)) Method {
	return func(body json.RawMessage) (any, error) {
		var r Request
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, fmt.Errorf("read a request: %w", err)
		}
		return fn(r)
	}
}

// Server answers for a cell that this node owns.
type Server struct {
	methods map[string]Method
	logger  *slog.Logger
	stop    func() error
	places  chan struct{}
	calls   sync.WaitGroup
	mu      sync.Mutex // guards ended
	ended   bool
}

// Serve begins to answer for a cell.
func Serve(c *Client, cell int, methods map[string]Method, logger *slog.Logger) (*Server, error) {
	s := &Server{methods: methods, logger: logger, places: make(chan struct{}, callsMax)}
	var err error
	s.stop, err = c.Bus.Serve(subjectOf(c.Cluster, cell), s.hear)
	return s, err
}

// Close ends it, and returns when no method runs any more. Who asked too late is told that nobody has the request.
func (s *Server) Close() error {
	err := s.stop()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.calls.Wait()
	return err
}

func (s *Server) hear(b []byte, reply func([]byte) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		s.send(reply, answer{Version: version, Gone: true})
		return
	}
	select {
	case s.places <- struct{}{}:
	default:
		s.tell(reply, nil, &event.Problem{Code: event.Overloaded, Detail: "too many calls at once; send it again"})
		return
	}
	s.calls.Go(func() {
		defer func() { <-s.places }()
		r, err := decodeRequest(b)
		method := s.methods[r.Method]
		if err == nil && method == nil {
			err = fmt.Errorf("a request has the method %q, which this program does not know", r.Method)
		}
		var body any
		if err == nil {
			body, err = method(r.Body)
		}
		s.tell(reply, body, err)
	})
}

// tell answers, unless an error says that there is nothing to be told.
func (s *Server) tell(reply func([]byte) error, body any, err error) {
	a := answer{Version: version}
	var p *event.Problem
	switch {
	case errors.As(err, &p):
		a.Problem = &problem{Code: p.Code, Field: p.Field, Detail: p.Detail}
	case err == nil:
		a.Body, err = encode(body)
	}
	if err != nil && p == nil {
		s.logger.Warn("a call of another node is not answered", "error", err)
		return
	}
	s.send(reply, a)
}

func (s *Server) send(reply func([]byte) error, a answer) {
	b, err := encode(a)
	if err == nil {
		err = reply(b)
	}
	if err != nil {
		s.logger.Warn("a call of another node is not answered", "error", err)
	}
}
