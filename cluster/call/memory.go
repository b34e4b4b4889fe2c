package call

import (
	"context"
	"sync"
)

// Memory is a Bus within one process, for tests of what calls.
type Memory struct {
	mu     sync.Mutex
	served map[string][]*listener
}

type listener struct {
	fn func(b []byte, reply func([]byte) error)
}

// NewMemory returns a Bus on which nobody serves anything.
func NewMemory() *Memory { return &Memory{served: map[string][]*listener{}} }

// Request implements Bus.
func (m *Memory) Request(ctx context.Context, subject string, b []byte) ([]byte, error) {
	m.mu.Lock()
	all := append([]*listener(nil), m.served[subject]...)
	m.mu.Unlock()
	if len(all) == 0 {
		return nil, ErrNobody
	}
	answers := make(chan []byte, len(all))
	for _, l := range all {
		l.fn(append([]byte(nil), b...), func(answer []byte) error {
			answers <- append([]byte(nil), answer...)
			return nil
		})
	}
	select {
	case answer := <-answers:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Serve implements Bus.
func (m *Memory) Serve(subject string, fn func(b []byte, reply func([]byte) error)) (stop func() error, err error) {
	l := &listener{fn}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served[subject] = append(m.served[subject], l)
	return func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		list := m.served[subject]
		for i := range list {
			if list[i] == l {
				m.served[subject] = append(append([]*listener(nil), list[:i]...), list[i+1:]...)
			}
		}
		return nil
	}, nil
}
