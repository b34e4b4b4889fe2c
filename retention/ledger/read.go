package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Get returns a copy of the value of a key.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, false, fmt.Errorf("read the ledger: %w", err)
	}
	if err := s.begin(); err != nil {
		return nil, false, fmt.Errorf("read the ledger: %w", err)
	}
	defer s.calls.Done()
	return s.get(nil, key)
}

// get reads a key in txn, or in a transaction of its own when txn is nil.
func (s *Store) get(txn *badger.Txn, key []byte) (value []byte, found bool, err error) {
	err = recovered(func() error {
		in := txn
		if in == nil {
			in = s.db.NewTransaction(false)
			defer in.Discard()
		}
		item, err := in.Get(key)
		if err == nil {
			value, err = item.ValueCopy(nil)
		}
		return err
	})
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, false, nil
	case err == nil:
		err = s.log.err() // A value that cannot be read comes as nothing, without an error.
	}
	if err != nil {
		s.tell(err)
		return nil, false, fmt.Errorf("read the ledger %q: %w", s.path, err)
	}
	return value, true, nil
}

// Scan calls fn for every row whose key has the prefix, in the order of keys, or against it when reverse, from start on
// (that is at or behind it, in the direction of the scan; nil: from the end where it begins), until fn says that it
// needs no more. Key and value are valid until fn returns. Rows written after Scan began are not seen. An error of fn's
// is returned as it is.
func (s *Store) Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	defer s.calls.Done()
	return s.scan(nil, prefix, start, reverse, fn)
}

// scan scans in txn, or in a transaction of its own when txn is nil.
func (s *Store) scan(
	txn *badger.Txn, prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error),
) error {
	c := cursor{prefix: prefix, reverse: reverse}
	return s.each(&c, txn, start, func() (more bool, err error) { return fn(c.key, c.value) })
}

// each calls fn with the cursor at one row after the other.
func (s *Store) each(c *cursor, txn *badger.Txn, start []byte, fn func() (more bool, err error)) error {
	defer c.close()
	err := recovered(func() error { return c.open(s.db, txn, start) })
	for err == nil {
		var found bool
		err = recovered(func() (err error) { found, err = c.row(); return err })
		if err == nil {
			err = s.log.err() // A value that cannot be read comes as nothing, without an error.
		}
		if err != nil || !found {
			break
		}
		if more, err := fn(); err != nil || !more {
			return err
		}
		err = recovered(func() error { c.it.Next(); return nil })
	}
	if err != nil {
		s.tell(err)
		return fmt.Errorf("read the ledger %q: %w", s.path, err)
	}
	return nil
}

// cursor is one scan.
type cursor struct {
	prefix     []byte
	reverse    bool
	own        *badger.Txn // nil when it scans in somebody else's
	it         *badger.Iterator
	key, value []byte
}

func (c *cursor) open(db *badger.DB, txn *badger.Txn, start []byte) error {
	if txn == nil {
		c.own = db.NewTransaction(false)
		txn = c.own
	}
	c.it = txn.NewIterator(badger.IteratorOptions{Reverse: c.reverse})
	c.seek(start)
	return nil
}

// row reads the row that the iterator is at, and reports whether it still belongs to the scan.
func (c *cursor) row() (found bool, err error) {
	for ; c.it.Valid(); c.it.Next() {
		item := c.it.Item()
		c.key = item.Key()
		if c.reverse && bytes.Compare(c.key, c.prefix) > 0 && !bytes.HasPrefix(c.key, c.prefix) {
			continue // The key right behind the prefix's rows.
		}
		if !bytes.HasPrefix(c.key, c.prefix) || c.key[0] == 0 { // Before the rest lies the store's own row.
			return false, nil
		}
		c.value, err = item.ValueCopy(c.value[:0])
		return true, err
	}
	return false, nil
}

// seek goes to the first row of a scan.
func (c *cursor) seek(start []byte) {
	switch {
	case !c.reverse && bytes.Compare(start, c.prefix) > 0:
		c.it.Seek(start)
	case !c.reverse && len(c.prefix) > 0:
		c.it.Seek(c.prefix)
	case !c.reverse:
		c.it.Seek([]byte{1}) // Behind the store's own row.
	default:
		behind := after(c.prefix)
		if len(start) > 0 && (behind == nil || bytes.Compare(start, behind) < 0) {
			behind = start
		}
		c.it.Seek(behind) // nil: the very last row.
	}
}

func (c *cursor) close() {
	_ = recovered(func() error { // What it would say was said before.
		if c.it != nil {
			c.it.Close()
		}
		if c.own != nil {
			c.own.Discard()
		}
		return nil
	})
}

// after returns the smallest key greater than every key with the prefix, nil when there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
