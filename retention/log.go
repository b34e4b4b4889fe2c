package retention

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// LogOptions says where the commit log lies and how it is cut into directories.
type LogOptions struct {
	Path        string        // made if it is missing
	Retention   time.Duration // how long a group is kept at least
	Span        time.Duration // of one directory; 0: a seventh of Retention, at least 10 s
	DirBytesMax int64         // ends a directory before its span; 0: 8 GiB
	Idle        time.Duration // how long a directory that nobody reads stays open; 0: a minute
	// Fatal is told, at most once and from any goroutine, of the first error that Badger logs or that happens in the
	// background: the process must end. The log takes nothing more by then. What Append or Drop find themselves they
	// return. It must not call the log.
	Fatal  func(error)
	Logger *slog.Logger // told about a torn tail that was dropped and about Badger's warnings; nil: nobody is
}

func (o *LogOptions) fill() {
	if o.Span == 0 {
		o.Span = max(o.Retention/spansARetention, spanMin)
	}
	if o.DirBytesMax == 0 {
		o.DirBytesMax = dirBytesMaxDefault
	}
	if o.Idle == 0 {
		o.Idle = idleDefault
	}
	if o.Logger == nil {
		o.Logger = discard()
	}
}

// Validate reports every fault of the options at once; zeroes stand for defaults.
func (o LogOptions) Validate() error {
	o.fill()
	var errs []error
	if o.Path == "" {
		errs = append(errs, errors.New("the commit log has no path"))
	}
	if o.Retention <= 0 {
		errs = append(errs, fmt.Errorf("the log retention %s is not positive", o.Retention))
	}
	if o.Span <= 0 {
		errs = append(errs, fmt.Errorf("the span %s of a commit directory is not positive", o.Span))
	}
	if o.DirBytesMax < 0 {
		errs = append(errs, fmt.Errorf("a commit directory of at most %d bytes", o.DirBytesMax))
	}
	if o.Idle < 0 {
		errs = append(errs, fmt.Errorf("an idle time of %s", o.Idle))
	}
	return errors.Join(errs...)
}

// Log is the commit log: every acknowledged group, in order. Append belongs to one goroutine; everything else may be
// called from any.
type Log struct {
	opts LogOptions
	mark *mark
	pool pool
	scan chan struct{} // a place for each scan

	dropping sync.Mutex // one Drop at a time
	// appending is held by Append, and by Drop while it switches directories.
	appending sync.Mutex
	writer    *span
	instance  *instance
	head      header // of Append, reused
	value     []byte

	mu      sync.Mutex
	spans   []*span // oldest first; the last one is the writer
	last    uint64
	lastMs  int64
	firstMs int64 // of the last group
	chain   chain // of the last group
	next    *span // opened ahead
	nextIn  *instance
	opening bool
	failure error
	closed  bool
	wg      sync.WaitGroup // openings
}

// OpenLog opens or makes a commit log, proves that it reaches its mark, and drops a torn last group beyond it.
func OpenLog(o LogOptions) (*Log, error) {
	o.fill()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := disk.MakeDir(o.Path); err != nil {
		return nil, err
	}
	l := &Log{opts: o, scan: make(chan struct{}, ScansMax)}
	l.pool = pool{max: ScansMax, idle: o.Idle, logger: o.Logger, failed: l.fail}
	l.pool.closed = func(s *span) error {
		l.mu.Lock()
		b := s.bounds
		l.mu.Unlock()
		return seal(s.path, b)
	}
	if err := l.recover(); err != nil {
		if l.mark != nil {
			l.mark.f.Close()
		}
		if l.instance != nil {
			_ = l.instance.close()
		}
		return nil, fmt.Errorf("open commit log: %w", err)
	}
	l.instance.log.arm()
	return l, nil
}

// Last returns the sequence and the last decided time of the newest group that is on disk; 0 in an empty log.
func (l *Log) Last() (seq uint64, lastMs int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.lastMs
}

// First returns the sequence of the oldest group that is kept, or one more than Last when there is none.
func (l *Log) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstLocked()
}

func (l *Log) firstLocked() uint64 {
	for _, s := range l.spans {
		if !s.empty() {
			return s.first
		}
	}
	return l.last + 1
}

// fail ends the log: nothing is appended any more. What no call returns goes to Fatal.
func (l *Log) fail(err error) {
	if l.stop(err) && l.opts.Fatal != nil {
		l.opts.Fatal(err)
	}
}

// stop makes every later Append fail and reports whether it was the first to do so.
func (l *Log) stop(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return false
	}
	l.failure = err
	return true
}

// Close closes every directory. After a failure it closes none: the next start recovers what was acknowledged.
func (l *Log) Close() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	failure, closed := l.failure, l.closed
	l.closed = true
	if failure == nil {
		l.failure = errors.New("the commit log is closed")
	}
	l.mu.Unlock()
	if closed {
		return nil
	}
	l.wg.Wait()
	if failure != nil {
		return errors.Join(failure, l.pool.close())
	}
	var err error
	if l.next != nil {
		err = l.discardNext()
	}
	l.pool.retire(l.writer)
	return errors.Join(err, l.pool.close(), l.mark.close())
}

// discardNext removes a directory that was opened ahead and never written to.
func (l *Log) discardNext() error {
	if err := l.nextIn.close(); err != nil {
		return err
	}
	return removeSpan(l.next.path)
}
