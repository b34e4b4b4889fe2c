package archive

import (
	"errors"
	"path/filepath"
	"sync"
)

// ErrGone says that a directory was merged or removed since the Snapshot was taken: take another one.
var ErrGone = errors.New("a directory of the archive is gone")

// openDir is a directory that the manifest names. Store.mu guards all but what opening does.
type openDir struct {
	directory
	opening sync.Mutex // one at a time opens it
	tables  *tables    // nil: not open
	readers int
	holders int           // who copy it: it stays on the disk
	used    uint64        // when it was used last
	gone    bool          // no reader may begin
	left    chan struct{} // closed when the last reader has left; nil: nobody waits
}

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

// openTables opens what is not open. The caller is among its readers.
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
		return nil, s.damaged(&d.directory, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.tables = t
	s.opened++
	s.closeUnused()
	return t, nil
}

// closeUnused closes directories that nobody reads, those first that were not used for longest, until openMax are open.
// s.mu is held.
func (s *Store) closeUnused() {
	for s.opened > openMax {
		var oldest *openDir
		for _, d := range s.dirs {
			if d.tables != nil && d.readers == 0 && (oldest == nil || d.used < oldest.used) {
				oldest = d
			}
		}
		if oldest == nil {
			return
		}
		s.closeDir(oldest)
	}
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
func (s *Store) closeDir(d *openDir) {
	if d.tables != nil {
		d.tables = nil
		s.opened--
	}
}

// look calls fn with the tables of a directory.
func (s *Store) look(number uint64, fn func(t *tables) error) error {
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
		return s.damaged(&d.directory, err)
	}
	return nil
}

// entries reads entries of a directory's key space from a key on, of about so many bytes; none if there are no more.
func (s *Store) entries(number uint64, space byte, key entryKey, bytesMax int64) (list []blockOf, err error) {
	err = s.look(number, func(t *tables) error {
		list, err = t.entries(space, key, bytesMax)
		return err
	})
	return list, err
}

// payloads returns the payloads of the block of rows with a key, inflated.
func (s *Store) payloads(number uint64, key entryKey) (raw []byte, err error) {
	err = s.look(number, func(t *tables) error {
		space := t.of(spacePayloads)
		i := space.at(key)
		if i < 0 {
			return errFewPayloads
		}
		b, err := t.read(space, i)
		if err != nil {
			return err
		}
		if i = b.find(key, true); i < 0 || b.keys[i] != key {
			return errFewPayloads
		}
		raw, err = s.codec.unseal(nil, b.values[i])
		return err
	})
	return raw, err
}
