package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
)

// ErrGone says that a directory was merged or removed since the Snapshot was taken: take another one.
var ErrGone = errors.New("a directory of the archive is gone")

// openDir is a directory that the manifest names. Store.mu guards all but what opening does.
type openDir struct {
	directory
	opening sync.Mutex // one at a time opens it
	db      *badger.DB
	log     *logger
	readers int
	used    uint64        // when it was used last
	gone    bool          // no reader may begin
	left    chan struct{} // closed when the last reader has left; nil: nobody waits
}

// acquire opens a directory for one look; release must follow. A look is short, and never waits for a client, so that
// whoever removes the directory does not wait for long.
func (s *Store) acquire(number uint64) (*openDir, error) {
	s.mu.Lock()
	d := s.dirs[number]
	if d == nil || d.gone || s.closed {
		s.mu.Unlock()
		return nil, ErrGone
	}
	d.readers++
	s.uses++
	d.used = s.uses
	isOpen := d.db != nil
	s.mu.Unlock()
	if isOpen {
		return d, nil
	}
	if err := s.openDir(d); err != nil {
		s.release(d)
		return nil, err
	}
	return d, nil
}

// openDir opens what is not open. The caller is among its readers.
func (s *Store) openDir(d *openDir) error {
	d.opening.Lock()
	defer d.opening.Unlock()
	s.mu.Lock()
	isOpen := d.db != nil
	s.mu.Unlock()
	if isOpen {
		return nil
	}
	db, log, err := openReadOnly(filepath.Join(s.o.Path, d.name()), s.o.Logger)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.db, d.log = db, log
	if s.opened++; s.opened > openMax {
		return s.closeUnused()
	}
	return nil
}

// closeUnused closes the directory that was used last of those that nobody reads. s.mu is held.
func (s *Store) closeUnused() error {
	var oldest *openDir
	for _, d := range s.dirs {
		if d.db != nil && d.readers == 0 && (oldest == nil || d.used < oldest.used) {
			oldest = d
		}
	}
	if oldest == nil {
		return nil
	}
	return s.closeDir(oldest)
}

func (s *Store) release(d *openDir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.readers--
	if d.readers == 0 && d.left != nil {
		close(d.left)
		d.left = nil
	}
}

// closeDir closes a directory that nobody reads. s.mu is held.
func (s *Store) closeDir(d *openDir) error {
	if d.db == nil {
		return nil
	}
	err := recovered(d.db.Close)
	d.db = nil
	s.opened--
	if err != nil {
		return fmt.Errorf("close %q: %w", d.name(), err)
	}
	return nil
}

// look calls fn with an iterator over a directory's keys. A panic of Badger's and what it only logs are errors.
func (s *Store) look(number uint64, reverse bool, fn func(d *openDir, it *badger.Iterator) error) error {
	d, err := s.acquire(number)
	if err != nil {
		return err
	}
	defer s.release(d)
	err = recovered(func() error {
		txn := d.db.NewTransaction(false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{Reverse: reverse})
		defer it.Close()
		return fn(d, it)
	})
	if err == nil {
		err = d.log.err()
	}
	if err != nil {
		return disk.Damage(filepath.Join(s.o.Path, d.name()), "%v", err)
	}
	return nil
}

// value returns a copy of one entry, inflated; found is false without one.
func (s *Store) value(number uint64, key entryKey, space byte) (raw []byte, err error) {
	d, err := s.acquire(number)
	if err != nil {
		return nil, err
	}
	defer s.release(d)
	var stored []byte
	err = recovered(func() error {
		txn := d.db.NewTransaction(false)
		defer txn.Discard()
		item, err := txn.Get(key.append(nil, space))
		if err == nil {
			stored, err = item.ValueCopy(nil)
		}
		return err
	})
	if err == nil {
		err = d.log.err()
	}
	if err == nil {
		raw, err = s.codec.unseal(nil, stored)
	}
	if err != nil {
		return nil, disk.Damage(filepath.Join(s.o.Path, d.name()), "%v", err)
	}
	return raw, nil
}
