package client

import (
	"fmt"
	"io"
	"time"
)

// silenceError is why something was given up that could have gone on for ever.
type silenceError struct{ lasted time.Duration }

func (e silenceError) Error() string { return fmt.Sprintf("not one byte came for %v", e.lasted) }

// silence calls giveUp when one wait lasts too long. Time in which nobody waits, because the reader is busy with what
// it read, does not count.
type silence struct {
	after time.Duration
	timer *time.Timer
}

func newSilence(after time.Duration, giveUp func(error)) *silence {
	return &silence{after: after, timer: time.AfterFunc(after, func() { giveUp(silenceError{after}) })}
}

// begin starts a wait, end ends it.
func (s *silence) begin() { s.timer.Reset(s.after) }
func (s *silence) end()   { s.timer.Stop() }

// listen returns r with every Read of it counted as a wait.
func (s *silence) listen(r io.Reader) io.Reader { return silentReader{s, r} }

type silentReader struct {
	silence *silence
	r       io.Reader
}

func (l silentReader) Read(p []byte) (int, error) {
	l.silence.begin()
	n, err := l.r.Read(p)
	l.silence.end()
	return n, err
}
