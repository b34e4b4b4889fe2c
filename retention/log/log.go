package log

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// Options says where the log lies and how it is cut into segments.
type Options struct {
	Path         string        // a directory; made if it is missing
	SegmentBytes int64         // of a segment file, a multiple of 4096; 0: 64 MiB
	Retention    time.Duration // how long a group is kept at least; a seventh of it ends a segment
	// Archived says that a view keeps the groups' events: a segment goes as soon as every view has passed it.
	Archived bool
	// Room is asked before disk space is taken ahead of need; false: files grow as they are written, and no released
	// segment is kept for its blocks. nil: there always is room. It is called by Append and must not call the log.
	Room func() bool
	// Fatal is told, at most once and from any goroutine, of the first error that happens in the background: the process
	// must end, and the log takes nothing more by then. What a call finds it returns itself. It must not call the log.
	Fatal  func(error)
	Logger *slog.Logger // told about a torn tail that was dropped; nil: nobody is
}

func (o *Options) fill() {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = segmentBytesDefault
	}
	if o.Room == nil {
		o.Room = func() bool { return true }
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate reports every fault of the options at once; zeroes stand for defaults.
func (o Options) Validate() error {
	o.fill()
	var errs []error
	if o.Path == "" {
		errs = append(errs, errors.New("the commit log has no path"))
	}
	if o.SegmentBytes < SegmentBytesMin || o.SegmentBytes > SegmentBytesMax || o.SegmentBytes%pageBytes != 0 {
		errs = append(errs, fmt.Errorf("a segment of %d bytes: it has %d to %d, a multiple of %d",
			o.SegmentBytes, SegmentBytesMin, SegmentBytesMax, pageBytes))
	}
	if o.Retention <= 0 {
		errs = append(errs, fmt.Errorf("the log retention %s is not positive", o.Retention))
	}
	return errors.Join(errs...)
}

// Log is the commit log: every acknowledged group, in order. Append belongs to one goroutine; everything else may be
// called from any.
type Log struct {
	opts     Options
	readOnly bool
	mark     *mark
	read     chan struct{} // a place for each reader

	releasing sync.Mutex // one Release at a time
	// appending is held by Append, and by Release while it ends a segment. It guards the next three.
	appending sync.Mutex
	writer    writer
	frame     frame
	pieces    [][]byte

	// naming is held by whoever gives files new names, so that names become durable in the order of their numbers.
	// It guards number.
	naming sync.Mutex
	number uint64 // the next one to give

	mu        sync.Mutex
	segments  []*segment // begun, oldest first; the last one is written
	spares    []*spare   // the next numbers
	indexed   []*segment // closed ones with an index in memory; the last was used last
	last      uint64
	firstMs   int64 // of the last group
	lastMs    int64
	chain     Chain
	preparing bool // prepareAhead is at it
	erasing   bool // no file is used again (Erase)
	failure   error
	closed    bool
	wg        sync.WaitGroup // goroutines that prepare spares
}

// Open opens or makes a log, proves that its segments join and that its last one is whole and reaches the mark, and
// drops a torn last group beyond the mark. What it refuses it leaves as it is. No other process may have the log open.
func Open(o Options) (*Log, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.fill()
	if err := disk.MakeDir(o.Path); err != nil {
		return nil, err
	}
	l := &Log{opts: o, read: make(chan struct{}, ReadersMax), number: 1}
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open commit log: %w", err), l.closeFiles())
	}
	return l, nil
}

// Last returns the newest group that is on disk, the decided time of its last event in Unix milliseconds, and its
// Chain; zeroes in a log that never had a group. They are known also when no group is kept.
func (l *Log) Last() (seq uint64, lastMs int64, chain Chain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.lastMs, l.chain
}

// First returns the oldest group that is kept, or one more than Last when there is none.
func (l *Log) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstLocked()
}

func (l *Log) firstLocked() uint64 {
	if len(l.segments) == 0 {
		return l.last + 1
	}
	return l.segments[0].first // Of an empty one this is last + 1.
}

// Bytes returns the length of all segment files, of prepared ones too.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, s := range l.segments {
		n += s.bytes
	}
	for _, s := range l.spares {
		n += s.bytes
	}
	return n
}

// BytesBehind returns the length of the segment files that have a group behind a group.
func (l *Log) BytesBehind(seq uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, s := range l.segments {
		if s.last > seq {
			n += s.bytes
		}
	}
	return n
}

// Segments returns the number of segment files, prepared ones too.
func (l *Log) Segments() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.segments) + len(l.spares)
}

// smallBytes is the size of a segment while little is logged.
func (l *Log) smallBytes() int64 {
	return max(align(l.opts.SegmentBytes/smallPart, pageBytes), smallBytesMin)
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

// fail is stop for what no call returns.
func (l *Log) fail(err error) {
	if l.stop(err) {
		l.opts.Fatal(err)
	}
}

// failed returns the error that ended the log.
func (l *Log) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Close ends the log and closes its files. It waits for an Append or a Release that is running. It returns the error
// that ended the log before, if one did. Readers that are at it go on.
func (l *Log) Close() error {
	failure, first := l.shut()
	if !first {
		return nil
	}
	l.releasing.Lock()
	defer l.releasing.Unlock()
	l.appending.Lock()
	defer l.appending.Unlock()
	l.wg.Wait()
	return errors.Join(failure, l.closeFiles())
}

// shut lets nothing begin any more and has what is prepared come to its end.
func (l *Log) shut() (failure error, first bool) {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	failure, first = l.failure, !l.closed
	l.closed = true
	if l.readOnly {
		failure = nil
	}
	if failure == nil {
		l.failure = errors.New("the commit log is closed")
	}
	for _, s := range l.spares {
		s.hurry.Store(true)
	}
	return failure, first
}

func (l *Log) closeFiles() error {
	var errs []error
	if l.mark != nil {
		errs = append(errs, l.mark.close())
	}
	if l.writer.f != nil {
		errs = append(errs, l.writer.f.Close())
	}
	for _, s := range l.spares {
		errs = append(errs, s.f.Close())
	}
	return errors.Join(errs...)
}
