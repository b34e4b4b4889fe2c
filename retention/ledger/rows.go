package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Entry is one row. A key is 1 to KeyBytesMax bytes and begins neither with a zero byte nor with "!badger!"; the writer
// of a row owns its namespace.
type Entry struct {
	Key, Value []byte
	// UntilMs is when the time of the row is over, Unix milliseconds by the clock that Maintain is given; it is readable
	// until Maintain deletes it. 0 keeps it for ever.
	UntilMs int64
	// Delete has the row of the key deleted, if there is one: the entry has no value.
	Delete bool
}

// ErrTooLarge is returned by Write and WritePart, before anything was written, for more than one transaction takes.
var ErrTooLarge = errors.New("too large for one transaction")

// Write writes entries and the position that they reach in one synced transaction: when it returns nil they are on
// disk; after a crash either all of them are, or none. Without entries only the position moves. Up to
// TransactionBytesMax and TransactionEntriesMax fit; with more it may return ErrTooLarge, having written nothing.
// Entries are read until it returns and not kept. After an error that is neither about them nor about the position
// every later call fails.
func (s *Store) Write(entries []Entry, to Position) error {
	return s.write(entries, &to)
}

// WritePart writes entries like Write, but the position does not move: it is for the first parts of a group that takes
// several transactions. After a crash the group is applied again.
func (s *Store) WritePart(entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return s.write(entries, nil)
}

// write writes one transaction; to is nil when the position stays.
func (s *Store) write(entries []Entry, to *Position) error {
	for i := range entries {
		if err := entries[i].validate(); err != nil {
			return fmt.Errorf("write to the ledger: entry %d: %w", i, err)
		}
	}
	if err := s.begin(); err != nil {
		return fmt.Errorf("write to the ledger: %w", err)
	}
	defer s.calls.Done()
	s.writing.Lock()
	defer s.writing.Unlock()
	if to != nil {
		if err := s.Position().follows(*to); err != nil {
			return fmt.Errorf("write to the ledger: %w", err)
		}
	}
	err := s.commit(func(txn *badger.Txn) error { return s.fill(txn, entries, to) })
	if err != nil {
		return fmt.Errorf("write to the ledger: %w", err)
	}
	if to != nil {
		s.position.Store(to)
	}
	return nil
}

// fill puts the position and the entries into a transaction. Nothing is on disk before its commit.
func (s *Store) fill(txn *badger.Txn, entries []Entry, to *Position) error {
	if to != nil {
		if err := txn.Set([]byte(positionKey), appendPosition(nil, *to, s.names.newestValueLog())); err != nil {
			return err
		}
	}
	valueBytes := 0
	for i := range entries {
		e := &entries[i]
		valueBytes += len(e.Value)
		err := badger.ErrTxnTooBig
		switch {
		case e.Delete:
			err = txn.Delete(e.Key)
		case valueBytes <= ValueBytesMax: // Values in the value log count for nothing to Badger.
			err = txn.SetEntry(e.badger())
		}
		if errors.Is(err, badger.ErrTxnTooBig) {
			return fmt.Errorf("%d entries: %w", len(entries), ErrTooLarge)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// commit writes what fill puts into a transaction, and makes it durable. What fill refuses was not written, and is no
// failure. s.writing is held.
func (s *Store) commit(fill func(*badger.Txn) error) error {
	refused := false
	err := recovered(func() error {
		txn := s.db.NewTransaction(true)
		defer txn.Discard()
		if err := fill(txn); err != nil {
			refused = true
			return err
		}
		return txn.Commit()
	})
	if refused {
		return err
	}
	if err == nil {
		err = s.log.err() // A sync that failed is only logged.
	}
	if err == nil {
		err = s.names.sync()
	}
	if err != nil {
		return s.fail(fmt.Errorf("%q: %w", s.path, err))
	}
	return nil
}

// badger returns the row as Badger takes it.
func (e *Entry) badger() *badger.Entry {
	b := badger.NewEntry(e.Key, e.Value)
	if e.UntilMs > 0 {
		b.ExpiresAt = expiresAt(e.UntilMs)
	}
	return b
}

// expiresAt returns the end of a row as Badger keeps it: in seconds, and so far away that Badger itself, which looks at
// the wall clock, never takes it for over. A wall clock that leaps ahead must not delete anything.
func expiresAt(ms int64) uint64 { return farAwaySeconds + uint64(ms)/1000 }

func (e *Entry) validate() error {
	if e.Delete && (len(e.Value) > 0 || e.UntilMs > 0) {
		return fmt.Errorf("key %q is to be deleted, and has a value or a time", e.Key)
	}
	if len(e.Value) > ValueBytesMax {
		return fmt.Errorf("a value of %d bytes, at most %d", len(e.Value), ValueBytesMax)
	}
	return checkKey(e.Key)
}

func checkKey(key []byte) error {
	switch {
	case len(key) == 0 || len(key) > KeyBytesMax:
		return fmt.Errorf("a key of %d bytes, 1 to %d", len(key), KeyBytesMax)
	case key[0] == 0 || bytes.HasPrefix(key, []byte("!badger!")):
		return fmt.Errorf("key %q is reserved", key)
	}
	return nil
}
