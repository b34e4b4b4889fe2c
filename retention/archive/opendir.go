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
	tables  *tables    // for queries; nil: not open
	db      *badger.DB // for who reads it whole; nil: not open
	log     *logger
	readers int
	used    uint64        // when it was used last
	gone    bool          // no reader may begin
	left    chan struct{} // closed when the last reader has left; nil: nobody waits
}

func (d *openDir) isOpen() bool { return d.db != nil || d.tables != nil }

// acquire has a directory stay where it is for one look; release must follow. A look is short, and never waits for a
// client, so that whoever removes the directory does not wait for long.
func (s *Store) acquire(number uint64) (*openDir, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.dirs[number]
	if d == nil || d.gone || s.closed {
		return nil, ErrGone
	}
	d.readers++
	s.uses++
	d.used = s.uses
	return d, nil
}

// openDB opens what is not open for who reads it whole. The caller is among its readers.
func (s *Store) openDB(d *openDir) (*badger.DB, error) {
	d.opening.Lock()
	defer d.opening.Unlock()
	s.mu.Lock()
	db := d.db
	s.mu.Unlock()
	if db != nil {
		return db, nil
	}
	db, log, err := openReadOnly(filepath.Join(s.o.Path, d.name()), s.o.Logger)
	if err != nil {
		return nil, err
	}
	return db, s.opens(d, func() { d.db, d.log = db, log })
}

// openTables opens what is not open for queries. The caller is among its readers.
func (s *Store) openTables(d *openDir) (*tables, error) {
	d.opening.Lock()
	defer d.opening.Unlock()
	s.mu.Lock()
	t := d.tables
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	path := filepath.Join(s.o.Path, d.name())
	t, err := openTables(path)
	if err != nil {
		return nil, disk.Damage(path, "%v", err)
	}
	return t, s.opens(d, func() { d.tables = t })
}

// opens notes that a directory was opened by set.
func (s *Store) opens(d *openDir, set func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !d.isOpen() {
		s.opened++
	}
	if set(); s.opened > openMax {
		return s.closeUnused()
	}
	return nil
}

// closeUnused closes the directory that was used last of those that nobody reads. s.mu is held.
func (s *Store) closeUnused() error {
	var oldest *openDir
	for _, d := range s.dirs {
		if d.isOpen() && d.readers == 0 && (oldest == nil || d.used < oldest.used) {
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
	if !d.isOpen() {
		return nil
	}
	s.opened--
	db := d.db
	d.db, d.tables = nil, nil
	if db == nil {
		return nil
	}
	if err := recovered(db.Close); err != nil {
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
	db, err := s.openDB(d)
	if err != nil {
		return err
	}
	err = recovered(func() error {
		txn := db.NewTransaction(false)
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

// lookTables calls fn with the tables of a directory.
func (s *Store) lookTables(number uint64, fn func(t *tables) error) error {
	d, err := s.acquire(number)
	if err != nil {
		return err
	}
	defer s.release(d)
	t, err := s.openTables(d)
	if err != nil {
		return err
	}
	if err := fn(t); err != nil {
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
	db, err := s.openDB(d)
	if err != nil {
		return nil, err
	}
	var stored []byte
	err = recovered(func() error {
		txn := db.NewTransaction(false)
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
