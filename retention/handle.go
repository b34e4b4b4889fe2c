package retention

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// handle is a commit directory's open instance. Its fields are guarded by pool.mu; in and err are set before ready is
// closed.
type handle struct {
	in       *instance
	err      error
	refs     int
	readOnly bool
	retired  bool          // whoever gives back the last reference closes it
	ready    chan struct{} // closed when it is open, or failed to
	gone     chan struct{} // closed when it is closed
	idleFrom time.Time
}

// pool opens commit directories for readers, read-only, at most max of them, and closes those that nobody reads.
type pool struct {
	max    int
	idle   time.Duration
	logger *slog.Logger
	closed func(s *span) error // after a writable directory was closed
	failed func(error)

	mu    sync.Mutex
	open  []*span // with a read-only handle
	timer *time.Timer
	err   error          // of the first writable directory that could not be closed
	wg    sync.WaitGroup // closings
}

// writable makes an instance that is open for writing the directory's handle. The log holds one reference until retire.
func (p *pool) writable(s *span, in *instance) {
	ready := make(chan struct{})
	close(ready)
	p.mu.Lock()
	s.h = &handle{in: in, refs: 1, ready: ready, gone: make(chan struct{})}
	p.mu.Unlock()
}

// acquire returns the directory's instance, opened if need be. It reports nil, nil for a directory that was dropped.
func (p *pool) acquire(ctx context.Context, s *span) (*instance, error) {
	for {
		p.mu.Lock()
		h := s.h
		switch {
		case s.gone:
			p.mu.Unlock()
			return nil, nil
		case h == nil:
			h = p.start(s)
			p.mu.Unlock()
			p.evict()
			h.in, h.err = openReadOnly(s.path, p.logger)
			close(h.ready)
		case h.retired && h.refs == 0: // It is being closed.
			p.mu.Unlock()
			select {
			case <-h.gone:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		default:
			h.refs++
			p.mu.Unlock()
		}
		<-h.ready
		if h.err != nil {
			p.release(s)
			return nil, h.err
		}
		return h.in, nil
	}
}

// start registers a handle that the caller is about to open. p.mu is held.
func (p *pool) start(s *span) *handle {
	s.h = &handle{refs: 1, readOnly: true, ready: make(chan struct{}), gone: make(chan struct{})}
	p.open = append(p.open, s)
	return s.h
}

// release gives a reference back.
func (p *pool) release(s *span) {
	p.mu.Lock()
	h := s.h
	h.refs--
	switch {
	case h.refs > 0:
	case h.retired || h.err != nil:
		h.retired = true
		p.closeLater(s)
	default:
		h.idleFrom = time.Now()
		if p.timer == nil {
			p.timer = time.AfterFunc(p.idle, p.closeIdle)
		}
	}
	p.mu.Unlock()
}

// retire gives the log's reference to a writable directory back and has it closed when the last reader leaves.
func (p *pool) retire(s *span) {
	p.mu.Lock()
	s.h.retired = true
	p.mu.Unlock()
	p.release(s)
}

// evict closes the handles idle for longest while there are too many.
func (p *pool) evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.open); n > p.max; n-- {
		var oldest *span
		for _, s := range p.open {
			if s.h.refs == 0 && !s.h.retired && (oldest == nil || s.h.idleFrom.Before(oldest.h.idleFrom)) {
				oldest = s
			}
		}
		if oldest == nil {
			return
		}
		oldest.h.retired = true
		p.closeLater(oldest)
	}
}

// closeIdle closes the handles that were idle for long enough and looks again later if any are left.
func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	left := false
	for _, s := range p.open {
		switch h := s.h; {
		case h.refs > 0 || h.retired: // release will see to it
		case time.Since(h.idleFrom) >= p.idle:
			h.retired = true
			p.closeLater(s)
		default:
			left = true
		}
	}
	if left {
		p.timer = time.AfterFunc(p.idle, p.closeIdle)
	}
}

// closeLater closes a retired handle without references in the background. p.mu is held.
func (p *pool) closeLater(s *span) {
	h := s.h
	p.wg.Go(func() {
		var err error
		if h.in != nil {
			err = h.in.close()
			if err == nil && !h.readOnly {
				err = p.closed(s)
			}
		}
		bad := err != nil && !h.readOnly
		if bad {
			p.failed(err)
		}
		p.mu.Lock()
		if bad && p.err == nil {
			p.err = err
		}
		s.h = nil
		for i, other := range p.open {
			if other == s {
				p.open = append(p.open[:i], p.open[i+1:]...)
				break
			}
		}
		p.mu.Unlock()
		close(h.gone)
	})
}

// drop takes a directory away from readers for good. It reports false while somebody reads it.
func (p *pool) drop(s *span) bool {
	p.mu.Lock()
	if h := s.h; h != nil {
		if h.refs > 0 {
			p.mu.Unlock()
			return false
		}
		if !h.retired {
			h.retired = true
			p.closeLater(s)
		}
		p.mu.Unlock()
		<-h.gone
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if s.h != nil { // Opened again meanwhile.
		return false
	}
	s.gone = true
	return true
}

// close closes what is open for reading and waits for every closing. It returns the first failure of a writable
// directory.
func (p *pool) close() error {
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, s := range p.open {
		if s.h.refs == 0 && !s.h.retired {
			s.h.retired = true
			p.closeLater(s)
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
	return p.err
}

// openReadOnly opens a closed directory. Badger cannot open one read-only that was not closed cleanly; there is none,
// since recoverSpan opens each such directory for writing, closes it and seals it before the log is open.
func openReadOnly(path string, logger *slog.Logger) (*instance, error) {
	return openInstance(path, commitSize(), true, &instanceLog{path: path, reads: true, warn: logger})
}
