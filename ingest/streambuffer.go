package ingest

import (
	"math/bits"
	"time"
)

// readMore reads what has arrived. isMore is false if nothing has, if the stream is over, or if there must be memory
// first, for which it waits if it may.
func (s *eventStream) readMore(now time.Time, mayWait bool) (isMore bool, e *ending) {
	if s.from == s.to {
		s.shrink()
	}
	isPart := s.to > s.from || s.isFragment
	if isPart && (s.partSince.IsZero() || s.partBytes >= progressBytes) {
		s.partSince, s.partBytes = now, 0
	}
	if !s.isReadable {
		return false, nil
	}
	if !s.makeRoom(mayWait) {
		if mayWait && s.holdsFragments() {
			e = noMemoryForFragments()
		}
		return false, e
	}
	room := s.in[s.to:]
	room = room[:min(len(room), streamBufferKept)]
	n, err := s.carrier.read(room)
	switch {
	case isNothingYet(err):
		s.isReadable = false
		return false, nil
	case err != nil || n == 0:
		return false, &ending{isSilent: true}
	}
	s.to += n
	s.partBytes += n
	s.heardAt = now
	s.isFull = s.to == len(s.in)
	s.isReadable = n == len(room) || s.hasHung.Load() // A read that does not fill room has emptied the socket.
	return true, nil
}

// shrink gives back a buffer that is empty and larger than the stream needs now.
func (s *eventStream) shrink() {
	s.from, s.to = 0, 0
	if isLarge := len(s.in) > streamBufferKept || len(s.in) > streamBufferFree && s.h.admission.isHalfFull(); isLarge ||
		!s.isBusy && len(s.in) > streamBufferIdle {
		s.h.admission.give(s.charged)
		s.in, s.charged, s.turn = s.idle[:], 0, nil
	}
	s.isBusy = false
}

// makeRoom makes room in the buffer for s.need bytes, or for more of those that have arrived. It returns false if that
// is done aside, if the stream is over, or if there is no memory for what is in fragments.
func (s *eventStream) makeRoom(mayWait bool) bool {
	switch size := len(s.in); {
	case s.need > streamBufferKept && s.need > size:
		return s.grow(s.need, mayWait)
	case s.need > size:
		return s.grow(max(1<<bits.Len(uint(s.need-1)), streamBufferIdle), mayWait)
	case s.isFull && size < streamBufferKept: // More has arrived.
		return s.grow(min(4*size, streamBufferKept), mayWait)
	case s.from+s.need > size || s.to == size:
		s.to = copy(s.in, s.in[s.from:s.to])
		s.from = 0
	}
	return true
}

// grow gives the stream a buffer of size bytes. One above streamBufferFree that is needed is waited for aside, and
// charged together with what the call of its message will need, so that a large message does not wait a second time;
// one that only takes more at a time is left out if memory is short.
func (s *eventStream) grow(size int, mayWait bool) bool {
	more := int64(size) - s.charged
	switch {
	case size <= streamBufferFree:
		s.h.admission.used.Add(more)
	case s.need > len(s.in) && !mayWait:
		s.aside(func() *ending { return nil }) // It comes here again.
		return false
	case s.need > len(s.in):
		ahead := int64(s.need) * costFactor
		if !s.await(more + ahead - s.ahead) {
			return false
		}
		s.ahead = ahead
	case s.h.admission.isHalfFull() || !s.h.admission.take(more):
		size, more = len(s.in), 0
	}
	s.resize(size, more)
	return true
}

// resize moves what was read into a buffer of size bytes, for which more bytes of the budget were taken.
func (s *eventStream) resize(size int, more int64) {
	s.charged += more
	in := s.in
	if size != len(in) {
		in = make([]byte, size)
	}
	s.to = copy(in, s.in[s.from:s.to])
	s.in, s.from, s.isFull = in, 0, false
}
