package member

import "time"

// stuck is why a standby did not take over a cell without an owner, since it read something of the stream last.
type stuck struct {
	said    string
	damaged time.Time // since when acknowledged groups are missing; zero: they are not
}

// says reports whether a reason is worth a line of the log: it is another one than the last. One that asks for a repair
// must last: a copy that merely lags has it for a moment, too.
func (s *stuck) says(why string, damaged bool, now time.Time) bool {
	switch {
	case !damaged:
		s.damaged = time.Time{}
	case s.damaged.IsZero():
		s.damaged = now
	}
	if damaged && now.Sub(s.damaged) < damagedAfter || why == s.said {
		return false
	}
	s.said = why
	return true
}
