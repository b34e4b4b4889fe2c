package ledger

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// logger is Badger's. It keeps the first error, which Store.Err tells.
type logger struct {
	path     string
	warn     *slog.Logger
	failed   func(error) // is told the first error
	first    atomic.Pointer[error]
	warnings atomic.Uint64
}

// Errorf is how Badger says that a sync failed, a value cannot be read, a table is ignored, a memtable cannot be
// flushed.
func (l *logger) Errorf(format string, args ...any) {
	err := fmt.Errorf("badger in %q: %s", l.path, strings.TrimSpace(fmt.Sprintf(format, args...)))
	if l.first.CompareAndSwap(nil, &err) {
		l.failed(err)
	}
}

func (l *logger) err() error {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return nil
}

// Warningf tells the first warning and then every power of two: a compaction that fails is tried again twenty times a
// second.
func (l *logger) Warningf(format string, args ...any) {
	if n := l.warnings.Add(1); n&(n-1) == 0 {
		l.warn.Warn("badger warns", "path", l.path, "warning", strings.TrimSpace(fmt.Sprintf(format, args...)), "count", n)
	}
}

// Infof says nothing: Badger is chatty and nobody acts on it.
func (l *logger) Infof(string, ...any) {}

// Debugf says nothing.
func (l *logger) Debugf(string, ...any) {}
