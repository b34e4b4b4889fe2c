package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Options of a Spool.
type Options struct {
	Dir       string // "" keeps everything in memory
	BytesMax  int64  // of the files; beyond it Append fails
	EventsMax int64  // that passed unasked; beyond it Append fails
	Producer  string // whose sequences these are
	// Fault is told what a person should look at: a file that was set aside, or could not be removed. It is called by
	// Open, and by the methods of Batch.
	Fault func(error)
}

// Spool is all that one gateway owes. It is safe for concurrent use; each of its Batches is not.
type Spool struct {
	opts   Options
	places atomic.Uint64 // the last one that was given

	mu     sync.Mutex
	lock   *os.File // nil once it is closed
	bytes  int64    // that all batches take
	events int64    // in them
}

const suffix = ".owed"

// Open returns a spool and what is left in its directory, in the order in which it is to be sent. It fails when another
// process has the directory, and when another producer's batches are in it.
func Open(o Options) (*Spool, []*Batch, error) {
	s := &Spool{opts: o}
	if o.Dir == "" {
		return s, nil, nil
	}
	if err := makeDir(o.Dir, syncDir); err != nil {
		return nil, nil, fmt.Errorf("make the spool: %w", err)
	}
	var err error
	if s.lock, err = lockDir(o.Dir); err != nil {
		return nil, nil, err
	}
	left, err := s.restore()
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, left, nil
}

// restore reads what is in the directory.
func (s *Spool) restore() (left []*Batch, _ error) {
	entries, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	for _, e := range entries {
		name, isOwed := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".damaged"), suffix)
		place, err := strconv.ParseUint(name, 16, 64)
		if !isOwed || err != nil {
			continue // LOCK, or nothing of ours.
		}
		s.places.Store(max(s.places.Load(), place)) // A name is never given twice, not even that of a damaged file.
		if e.Name() != s.name(place) {
			continue
		}
		b, err := s.restoreBatch(e, place)
		if err != nil {
			return nil, err
		}
		if b != nil {
			left = append(left, b)
		}
	}
	slices.SortFunc(left, func(a, b *Batch) int {
		if a.sequence == 0 || b.sequence == 0 { // What is sealed was about to be answered before anything else.
			return cmp.Or(-cmp.Compare(min(a.sequence, 1), min(b.sequence, 1)), cmp.Compare(a.place, b.place))
		}
		return cmp.Compare(a.sequence, b.sequence)
	})
	return left, nil
}

// restoreBatch reads one file; nil when there is nothing in it to be sent.
func (s *Spool) restoreBatch(e fs.DirEntry, place uint64) (*Batch, error) {
	f := &file{path: filepath.Join(s.opts.Dir, e.Name()), made: true}
	b := &Batch{spool: s, place: place, store: f}
	raw, err := f.read()
	if err != nil {
		return nil, err // A disk that cannot be read is no damage that goes away by being set aside.
	}
	c, whole, err := decodeContent(raw)
	if err != nil {
		b.SetAside(err)
		return nil, nil
	}
	if c.producer != "" && c.producer != s.opts.Producer {
		return nil, fmt.Errorf(
			"spool %q holds what the producer %q owes, this one is %q: use that name, or another directory",
			s.opts.Dir,
			c.producer,
			s.opts.Producer,
		)
	}
	if c.dropped {
		s.opts.Fault(fmt.Errorf("the last record of %q is damaged, as a power cut may leave it, and was dropped", f.path))
	}
	if c.isEmpty() {
		return nil, f.remove()
	}
	if whole < len(raw) {
		if err := os.Truncate(f.path, int64(whole)); err != nil {
			return nil, fmt.Errorf("cut off the end of a record: %w", err)
		}
	}
	b.length, b.events = int64(whole), c.passed()
	if c.Seal != nil {
		b.sequence = c.Seal.Sequence
	}
	s.take(whole, b.events)
	return b, nil
}

func (s *Spool) name(place uint64) string { return fmt.Sprintf("%016x%s", place, suffix) }

// Place returns a place behind all that were given before. What is sent later has a later one.
func (s *Spool) Place() uint64 { return s.places.Add(1) }

// Batch returns an empty batch at a place that Place has given. Nothing is kept of it before it is written to.
func (s *Spool) Batch(place uint64) *Batch {
	b := &Batch{spool: s, place: place, store: &memory{}}
	if s.IsOnDisk() {
		b.store = &file{path: filepath.Join(s.opts.Dir, s.name(place))}
	}
	return b
}

// IsOnDisk reports whether what is kept survives the process.
func (s *Spool) IsOnDisk() bool { return s.opts.Dir != "" }

// Close lets another process have the directory. What is in it stays. A second call does nothing.
func (s *Spool) Close() error {
	s.mu.Lock()
	lock := s.lock
	s.lock = nil
	s.mu.Unlock()
	if lock == nil {
		return nil
	}
	if err := lock.Close(); err != nil {
		return fmt.Errorf("unlock the spool: %w", err)
	}
	return nil
}

// admit takes room; false when there is none.
func (s *Spool) admit(bytes, events int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+int64(bytes) > s.opts.BytesMax || s.events+int64(events) > s.opts.EventsMax {
		return false
	}
	s.bytes, s.events = s.bytes+int64(bytes), s.events+int64(events)
	return true
}

// take takes room that must be there.
func (s *Spool) take(bytes, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes, s.events = s.bytes+int64(bytes), s.events+int64(events)
}

func (s *Spool) release(bytes, events int) { s.take(-bytes, -events) }

// Held returns how many events passed unasked and are kept, and how many bytes they take.
func (s *Spool) Held() (events, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events, s.bytes
}
