package member

import "time"

// silence measures how long a cell's owner has appended nothing, as far as this node can tell.
type silence struct {
	since   time.Time
	max     time.Duration // how long it may last; silenceMax
	refused bool          // a claim was, since the stream was one message further than what this node had read
	epoch   uint64        // of the owner then
}

// hear notes a message of an epoch. One that refused a claim is no news if its owner is the same: it was appended
// before its owner died, and nobody knew that it is committed until a new leader of the stream was elected.
func (s *silence) hear(epoch uint64, now time.Time) {
	s.since = now
	if s.refused && epoch == s.epoch {
		s.since = now.Add(againAfter - s.max)
	}
	s.refused = false
}

// overtaken notes that a claim was refused.
func (s *silence) overtaken(epoch uint64, now time.Time) {
	s.since, s.refused, s.epoch = now.Add(againAfter-s.max), true, epoch
}

// lasts returns how long it has lasted.
func (s *silence) lasts(now time.Time) time.Duration { return now.Sub(s.since) }
