package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// lines gives the server's lines to slog. The server formats them itself; its notices are too many for our level info.
// One that comes again and again, as of a route to a node that is down, comes once in linesEvery.
type lines struct {
	to *slog.Logger

	mu   sync.Mutex
	said map[string]*said // by their formats, of which the server has some hundred
}

// said is when lines of a format came last, and how many were left out since.
type said struct {
	at      time.Time
	leftOut int
}

func newLines(to *slog.Logger) *lines { return &lines{to: to, said: map[string]*said{}} }

func (l *lines) say(level slog.Level, format string, v []any) {
	if !l.to.Enabled(context.Background(), level) {
		return
	}
	leftOut, again := l.again(format, time.Now())
	if again {
		return
	}
	args := []any{"line", fmt.Sprintf(format, v...)}
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	l.to.Log(context.Background(), level, "the NATS server says", args...)
}

// again reports whether a line is left out, or else how many were before it.
func (l *lines) again(format string, now time.Time) (leftOut int, again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.said[format]
	if s == nil {
		s = &said{}
		l.said[format] = s
	}
	if now.Sub(s.at) < linesEvery {
		s.leftOut++
		return 0, true
	}
	leftOut, s.at, s.leftOut = s.leftOut, now, 0
	return leftOut, false
}

func (l *lines) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l *lines) Fatalf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l *lines) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l *lines) Debugf(string, ...any)           {}
func (l *lines) Tracef(string, ...any)           {}

// ofPassword begins the warning of a password that is not hashed: ours is random, and nobody is told.
const ofPassword = "Plaintext passwords"

func (l *lines) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, ofPassword) {
		l.say(slog.LevelWarn, format, v)
	}
}
