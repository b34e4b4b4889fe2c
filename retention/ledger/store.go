package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
)

// Position is a place in the log: everything up to group Seq was applied. Chain is the hash of that group's link, so
// that the same number in another history is noticed. The zero Position is that of an empty store. It is shard/views'
// Position, declared again, for this package imports nothing above retention; package usage converts them.
type Position struct {
	Seq   uint64
	Chain [16]byte
}

// Options says where the store lies.
type Options struct {
	Path string // a directory, made if it is missing; its parent is there
	// Logger is told Badger's warnings; nil: nobody is.
	Logger *slog.Logger
	// Failed is told what is found to be damaged while the store is open, and why the store has failed, each time. What
	// it is told wraps disk.ErrDamaged unless the machine is to blame. It must not wait, nor call the store. A store that
	// has it lets go of its directory when it is closed, also after a failure (ErrFailed). nil: nobody is told.
	Failed func(error)

	size size // for tests; zeroes stand for limits.go
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	if o.Path == "" {
		return errors.New("the ledger has no path")
	}
	return nil
}

// Store is an open ledger. Its methods are safe for concurrent use; writes go one after the other.
type Store struct {
	path     string
	scratch  string // a directory to remove with the store
	db       *badger.DB
	log      *logger
	tells    func(error) // nil: nobody is told
	position atomic.Pointer[Position]

	writing sync.Mutex // held while writing; guards names
	names   names

	// Where Maintain goes on; its goroutine's alone.
	cursor []byte
	proven uint64 // the number of a table

	mu      sync.Mutex // guards the rest
	calls   sync.WaitGroup
	closed  bool
	failure error // what a call has met
	// instants are those that are open: Close ends them.
	instants map[*Instant]struct{}
}

// Open opens or makes the store. A directory that cannot be trusted is an error that wraps disk.ErrDamaged and names
// what is wrong; what only the machine can mend (permissions, descriptors, space) is an error that does not.
func Open(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := open(&o)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return s, nil
}

func open(o *Options) (*Store, error) {
	if err := disk.MakeDir(o.Path); err != nil {
		return nil, err
	}
	if err := check(o.Path, o.size.fill()); err != nil {
		return nil, err
	}
	if err := removeUnmade(o.Path); err != nil {
		return nil, err
	}
	s := &Store{path: o.Path, tells: o.Failed, instants: map[*Instant]struct{}{}}
	s.log = &logger{path: o.Path, warn: o.Logger, failed: s.tell}
	var err error
	if s.names, err = openNames(o.Path); err != nil {
		return nil, err
	}
	if s.db, err = openBadger(o.Path, o.size.fill(), s.log); err == nil {
		if err = s.start(); err != nil {
			_ = closeBadger(s.db) // The first error is the one to tell.
		}
	}
	if err != nil {
		s.names.close()
		return nil, err
	}
	return s, nil
}

// start makes what Badger began durable and reads where the store is.
func (s *Store) start() error {
	if err := s.names.sync(); err != nil {
		return err
	}
	if err := s.readPosition(); err != nil {
		return err
	}
	return s.log.err()
}

// Position returns how far the rows that are on disk reach in the log.
func (s *Store) Position() Position { return *s.position.Load() }

// Err returns why the store has failed, or nil. It never recovers.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed()
}

// failed returns why no call may go on. s.mu is held.
func (s *Store) failed() error {
	switch {
	case s.failure != nil:
		return s.failure
	case s.log.err() != nil:
		return s.log.err()
	case s.closed:
		return errClosed
	}
	return nil
}

var errClosed = errors.New("the ledger is closed")

// begin begins a call that Close waits for until it has said s.calls.Done, or says why there can be none.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failed(); err != nil {
		return err
	}
	s.calls.Add(1)
	return nil
}

// fail makes every later call fail.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	s.mu.Unlock()
	s.tell(err)
	return err
}

// tell tells what was found. s.mu is not held.
func (s *Store) tell(err error) {
	if s.tells == nil {
		return
	}
	if !isOfMachine(err) && !errors.Is(err, disk.ErrDamaged) {
		err = disk.Damage(s.path, "%v", err)
	}
	s.tells(err)
}

// ErrFailed is wrapped by what Close returns of a store that had failed, and has let go of its directory.
var ErrFailed = errors.New("it had failed, and is closed")

// Close waits for the calls that go on, ends every Instant, and closes the store. After a failure Badger stays as it
// is, because its last flush may try for ever: the directory must not be moved or removed before the process has ended.
// If Options.Failed is set Badger gets a while to close nevertheless: with ErrFailed it has.
func (s *Store) Close() error {
	s.mu.Lock()
	err, again := s.failed(), s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.calls.Wait()
	s.closeInstants()
	s.names.close()
	if err == nil {
		err = closeBadger(s.db)
	} else if s.tells != nil && s.closes() {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if lerr := s.log.err(); lerr != nil && !errors.Is(err, ErrFailed) {
		err = lerr
	}
	if err != nil {
		return fmt.Errorf("close the ledger %q: %w", s.path, err)
	}
	if s.scratch != "" {
		return os.RemoveAll(s.scratch)
	}
	return nil
}

// closes closes what has failed, and reports whether Badger has let go of the directory.
func (s *Store) closes() bool {
	closed := make(chan struct{})
	go func() {
		_ = closeBadger(s.db) // Why it has failed is known.
		close(closed)
	}()
	timeout := time.NewTimer(closeFailedMax)
	defer timeout.Stop()
	select {
	case <-closed:
		return true
	case <-timeout.C:
		return false
	}
}
