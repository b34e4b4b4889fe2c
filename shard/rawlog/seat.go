package rawlog

import (
	"context"
	"sync"
	"time"
)

// seat is where rows wait for a follower. The reader puts them in, group by group, and never waits: a seat that is full
// is taken away.
type seat struct {
	h       *followers
	reader  *followReader
	f       *follower
	ordinal uint64 // of the device, once it is known; guarded by mu of h
	isKnown bool
	group   []*Row // of the group that is read; the reader's

	mu     sync.Mutex
	rows   []*Row
	bytes  int       // of rows
	held   int       // bytes of what was taken last
	closed error     // no more comes: errBehind, or why the log cannot be read
	passed *logPlace // closed: groups up to here were put in; nil: what those count ties from is not known
	more   chan struct{}
}

// put puts the rows of the group behind a place in, all of them or none, and reports whether the seat takes more. A
// group that is larger than a seat has room in one that is empty.
func (s *seat) put(rows []*Row, passed logPlace) (isOpen bool) {
	bytes := 0
	for _, r := range rows {
		bytes += rowBytes(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return false
	}
	has := s.bytes + s.held
	isFull := has > 0 && has+bytes > s.h.seatBytes
	if !isFull && s.h.queued.Add(int64(bytes)) > s.h.seatsBytes {
		s.h.queued.Add(-int64(bytes))
		isFull = true
	}
	if isFull {
		s.h.behind.Add(1)
		s.closeLocked(&passed, errBehind)
		return false
	}
	s.h.rows.Add(uint64(len(rows)))
	s.rows, s.bytes = append(s.rows, rows...), s.bytes+bytes
	signal(s.more)
	return true
}

// rowBytes is what a row takes while it waits.
func rowBytes(r *Row) int {
	return seatRowBytes + len(r.Name) + len(r.ID) + len(r.Topic) + len(r.Payload)
}

// close says that no more comes. What is in the seat can be taken.
func (s *seat) close(passed *logPlace, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(passed, why)
}

func (s *seat) closeLocked(passed *logPlace, why error) {
	if s.closed == nil {
		s.closed, s.passed = why, passed
		signal(s.more)
	}
}

// take returns what is in the seat, once there is anything. What was taken before is given back with it. When there is
// nothing for a while it returns how far the reader is: what it put in up to there was taken. An error says that no
// more comes; then passed is behind the last group that was put in, nil if that is not known.
func (s *seat) take(ctx context.Context, within time.Duration) (rows []*Row, passed *logPlace, err error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for isIdle := false; ; {
		passed := s.reader.passed.Load() // Before the seat is looked at: then what was put in up to there is seen.
		rows, last, err := s.taken()
		switch {
		case err != nil:
			return nil, last, err
		case len(rows) > 0 || isIdle:
			return rows, passed, nil
		}
		select {
		case <-s.more:
		case <-timer.C:
			isIdle = true
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// taken empties the seat. last is how far it was filled when it was closed.
func (s *seat) taken() (rows []*Row, last *logPlace, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.queued.Add(-int64(s.held))
	rows, s.rows = s.rows, nil
	s.held, s.bytes = s.bytes, 0
	if len(rows) == 0 {
		return nil, s.passed, s.closed
	}
	return rows, nil, nil
}

// leave gives the seat back, with what is in it.
func (s *seat) leave() {
	s.h.leave(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.queued.Add(-int64(s.held + s.bytes))
	s.rows, s.held, s.bytes = nil, 0, 0
	if s.closed == nil {
		s.closed = errBehind
	}
}

// signal makes sure that whoever waits on c looks once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
