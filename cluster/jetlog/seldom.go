package jetlog

import "time"

// Seldom keeps what goes wrong again and again from flooding a log. Its zero value has said nothing. It belongs to one
// goroutine.
type Seldom struct {
	said string
	at   time.Time
}

// Says reports whether a text is to be logged now: it is another one than the last, and that one was
// logged seldomEvery ago or earlier.
func (s *Seldom) Says(text string, now time.Time) bool {
	if text == s.said || !s.at.IsZero() && now.Sub(s.at) < seldomEvery {
		return false
	}
	s.said, s.at = text, now
	return true
}

// Forget says that all is well: the same text is news when it comes again.
func (s *Seldom) Forget() { s.said = "" }
