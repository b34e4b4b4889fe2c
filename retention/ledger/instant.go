package ledger

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// Reader reads rows: a Store, or an Instant of one. Get and Scan are described there.
type Reader interface {
	Get(key []byte) (value []byte, found bool, err error)
	Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
	// Position is how far the rows reach in the log.
	Position() Position
	Close() error
}

// Instant is the store as it stood when it was opened, whatever is written or deleted since. It must be closed, for it
// keeps the space of what is deleted meanwhile from coming back. It is safe for concurrent use.
type Instant struct {
	s   *Store
	txn *badger.Txn
	at  Position

	mu     sync.Mutex // guards closed
	closed bool
	calls  sync.WaitGroup
	once   sync.Once
}

var errInstantClosed = errors.New("this look at the ledger is closed")

// Instant opens the store as it stands now: an *Instant. The caller sees to it that no group is written in part just
// now: between WritePart and the Write that ends the group there are rows of it without the others.
func (s *Store) Instant() (Reader, error) {
	i, err := s.OpenInstant()
	if err != nil {
		return nil, err
	}
	return i, nil
}

// OpenInstant is Instant, with what copies need.
func (s *Store) OpenInstant() (*Instant, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	defer s.calls.Done()
	s.writing.Lock()
	defer s.writing.Unlock()
	i := &Instant{s: s, at: s.Position()}
	if err := recovered(func() error { i.txn = s.db.NewTransaction(false); return nil }); err != nil {
		return nil, fmt.Errorf("read the ledger %q: %w", s.path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instants[i] = struct{}{}
	return i, nil
}

// closeInstants ends those that are open. No call is in hand, and none begins any more.
func (s *Store) closeInstants() {
	s.mu.Lock()
	open := s.instants
	s.instants = nil
	s.mu.Unlock()
	for i := range open {
		i.end()
	}
}

// Position returns how far the rows reach in the log.
func (i *Instant) Position() Position { return i.at }

// Get is Get of Store.
func (i *Instant) Get(key []byte) (value []byte, found bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, false, fmt.Errorf("read the ledger: %w", err)
	}
	if err := i.begin(); err != nil {
		return nil, false, fmt.Errorf("read the ledger: %w", err)
	}
	defer i.done()
	return i.s.get(i.txn, key)
}

// Scan is Scan of Store.
func (i *Instant) Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error {
	if err := i.begin(); err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	defer i.done()
	return i.s.scan(i.txn, prefix, start, reverse, fn)
}

// begin begins a call that Close waits for, of this and of the store, or says why there can be none.
func (i *Instant) begin() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return errInstantClosed
	}
	if err := i.s.begin(); err != nil {
		return err
	}
	i.calls.Add(1)
	return nil
}

func (i *Instant) done() {
	i.calls.Done()
	i.s.calls.Done()
}

// Close waits for the calls that go on and lets go of the rows. It may be called again, but not from within Scan.
func (i *Instant) Close() error {
	i.s.mu.Lock()
	delete(i.s.instants, i)
	i.s.mu.Unlock()
	i.end()
	return nil
}

// end returns when the transaction is over, whoever ends it.
func (i *Instant) end() {
	i.once.Do(func() {
		i.mu.Lock()
		i.closed = true
		i.mu.Unlock()
		i.calls.Wait()
		_ = recovered(func() error { i.txn.Discard(); return nil }) // It was only read.
	})
}
