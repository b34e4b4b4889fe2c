package retention

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Write writes entries in one synced transaction: when it returns nil all of them are on disk, after a crash all or
// none. Up to LedgerTransactionBytesMax and LedgerTransactionEntriesMax fit; with more it may return ErrTooLarge,
// having written nothing. Entries are read until it returns and not kept. After another error every later write fails.
func (l *Ledger) Write(entries []Entry) error {
	_, err := l.write(entries, false)
	return err
}

// WriteSplit writes entries in as many synced transactions as they take, in their order: a crash leaves the first ones.
func (l *Ledger) WriteSplit(entries []Entry) error {
	for len(entries) > 0 {
		n, err := l.write(entries, true)
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// write writes all entries, or with split as many as fit, and returns how many.
func (l *Ledger) write(entries []Entry, split bool) (int, error) {
	if len(entries) == 0 {
		return 0, nil
	}
	for i := range entries {
		if err := checkEntry(&entries[i]); err != nil {
			return 0, fmt.Errorf("write to the ledger: entry %d: %w", i, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failed(); err != nil {
		return 0, fmt.Errorf("write to the ledger: %w", err)
	}
	txn := l.in.begin()
	defer txn.Discard()
	n, err := l.fill(txn, entries, split)
	if err != nil {
		return 0, fmt.Errorf("write to the ledger: %w", err)
	}
	if err = l.in.commit(txn); err == nil {
		l.count++
		err = l.mark.set(l.count)
	}
	if err != nil {
		l.failure = err
		return 0, fmt.Errorf("write to the ledger: %w", err)
	}
	return n, nil
}

// failed returns why nothing may be written any more. l.mu is held.
func (l *Ledger) failed() error {
	if l.failure != nil {
		return l.failure
	}
	return l.in.log.err()
}

// fill puts entries, led by the count, into a transaction. Nothing is on disk before its commit.
func (l *Ledger) fill(txn *badger.Txn, entries []Entry, split bool) (int, error) {
	if err := txn.Set([]byte(countKey), binary.BigEndian.AppendUint64(nil, l.count+1)); err != nil {
		return 0, err
	}
	valueBytes := 0
	for i := range entries {
		e := &entries[i]
		valueBytes += len(e.Value)
		err := badger.ErrTxnTooBig
		if valueBytes <= LedgerValueBytesMax { // Values in the value log count for nothing to Badger.
			err = txn.SetEntry(e.badger())
		}
		switch {
		case errors.Is(err, badger.ErrTxnTooBig) && split && i > 0:
			return i, nil
		case errors.Is(err, badger.ErrTxnTooBig):
			return 0, fmt.Errorf("%d entries: %w", len(entries), ErrTooLarge)
		case err != nil:
			return 0, err
		}
	}
	return len(entries), nil
}

// badger returns the row as Badger takes it.
func (e *Entry) badger() *badger.Entry {
	b := badger.NewEntry(e.Key, e.Value)
	if e.Keep > 0 {
		b = b.WithTTL(e.Keep)
	}
	return b
}

func checkEntry(e *Entry) error {
	if len(e.Value) > LedgerValueBytesMax {
		return fmt.Errorf("a value of %d bytes, at most %d", len(e.Value), LedgerValueBytesMax)
	}
	return checkKey(e.Key)
}

func checkKey(key []byte) error {
	switch {
	case len(key) == 0 || len(key) > LedgerKeyBytesMax:
		return fmt.Errorf("a key of %d bytes, 1 to %d", len(key), LedgerKeyBytesMax)
	case key[0] == 0 || bytes.HasPrefix(key, []byte("!badger!")):
		return fmt.Errorf("key %q is reserved", key)
	}
	return nil
}

// Scan calls fn for every row whose key has the prefix, in the order of keys, or against it when reverse, from start on
// (that is at or behind it, in the direction of the scan; nil: from the end where it begins), until fn says that it
// needs no more. Key and value are valid until fn returns. Rows written after Scan began are not seen.
func (l *Ledger) Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error {
	txn := l.in.read()
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Reverse: reverse})
	defer it.Close()
	var value []byte
	for seekRow(it, prefix, start, reverse); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()
		if reverse && bytes.Compare(key, prefix) > 0 && !bytes.HasPrefix(key, prefix) {
			continue // The key right behind the prefix's rows.
		}
		if !bytes.HasPrefix(key, prefix) || key[0] == 0 { // Before the rest lie the ledger's own rows.
			break
		}
		var err error
		if value, err = item.ValueCopy(value[:0]); err == nil {
			err = l.in.log.err() // A value that cannot be read comes as nothing, without an error.
		}
		if err != nil {
			return fmt.Errorf("read the ledger %q: %w", l.path, err)
		}
		if more, err := fn(key, value); err != nil || !more {
			return err
		}
	}
	return nil
}

// seekRow goes to the first row of a scan.
func seekRow(it *badger.Iterator, prefix, start []byte, reverse bool) {
	switch {
	case !reverse && bytes.Compare(start, prefix) > 0:
		it.Seek(start)
	case !reverse && len(prefix) > 0:
		it.Seek(prefix)
	case !reverse:
		it.Seek([]byte{1}) // Behind the ledger's own rows.
	default:
		behind := after(prefix)
		if len(start) > 0 && (behind == nil || bytes.Compare(start, behind) < 0) {
			behind = start
		}
		it.Seek(behind) // nil: the very last row.
	}
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
