package member

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/meterd/meterd/cluster/board"
)

// A message that a dead owner had appended, and that is read only when a claim was refused for it, does not begin the
// silence anew; one of an owner who lives does, and so does another epoch.
func TestSilence(t *testing.T) {
	now := time.Unix(1000, 0)
	later := func(d time.Duration) time.Time { now = now.Add(d); return now }
	wants := func(why string, s *silence, want time.Duration) {
		t.Helper()
		if got := s.lasts(now); got != want {
			t.Errorf("%s: it has lasted %v, want %v", why, got, want)
		}
	}
	s := &silence{since: now, max: silenceMax}
	s.hear(7, later(time.Second))
	later(silenceMax)
	wants("nothing came", s, silenceMax)
	s.overtaken(7, now)
	wants("a claim was refused", s, silenceMax-againAfter)
	s.hear(7, later(time.Second))
	wants("the message that refused it", s, silenceMax-againAfter)
	s.hear(7, later(time.Second))
	wants("another one: the owner lives", s, 0)
	s.overtaken(7, later(silenceMax))
	s.hear(8, later(time.Second))
	wants("another node was first", s, 0)
}

// Whoever is called at night by an ERROR has something to repair.
func TestLevels(t *testing.T) {
	for err, want := range map[error]slog.Level{
		board.ErrDamaged: slog.LevelError, board.ErrClock: slog.LevelWarn, board.ErrOthers: slog.LevelInfo,
		errors.New("a server cannot be seen"): slog.LevelWarn,
	} {
		if got := levelOf(fmt.Errorf("cell 3: %w", err)); got != want {
			t.Errorf("%v: %v, not %v", err, got, want)
		}
	}
}
