package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// Prove reads every directory that the manifest names, past the page cache, and proves its indexes and its blocks by
// their checksums, and that all entries are there. It calls rest with how many bytes it has read, and ends when that
// returns an error, which it returns. A damaged directory keeps no other from being proved. Directories that are merged
// or removed meanwhile stay on the disk while they are read.
func (s *Store) Prove(rest func(bytes int64) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	s.mu.Lock()
	list := slices.Clone(s.m.directories)
	s.mu.Unlock()
	var errs []error
	for i := range list {
		err := s.proveDir(&list[i], rest)
		errs = append(errs, err)
		if err != nil && !errors.Is(err, disk.ErrDamaged) {
			break
		}
	}
	return errors.Join(errs...)
}

// proveDir proves a directory, if it is there still.
func (s *Store) proveDir(d *directory, rest func(bytes int64) error) error {
	held := s.holdDir(func(o *openDir) bool { return o.number == d.number })
	if held == nil {
		return nil
	}
	defer s.letGo(held)
	path := filepath.Join(s.o.Path, d.name())
	if err := syncAll(path); err != nil { // Nobody writes to it, so this drops its pages.
		return s.damaged(d, err)
	}
	err := s.proveFiles(d, rest)
	return errors.Join(err, syncAll(path)) // What others read is not pushed out of the cache for it.
}

// proveFiles proves a directory that stays on the disk meanwhile, as the page cache has it.
func (s *Store) proveFiles(d *directory, rest func(bytes int64) error) error {
	bad, err := proveAt(filepath.Join(s.o.Path, d.name()), d, rest)
	if bad != nil {
		return s.damaged(d, bad)
	}
	return err
}

// proveAt proves that a directory of that content lies at path: bad says why it does not, err is rest's.
func proveAt(path string, d *directory, rest func(bytes int64) error) (bad, err error) {
	t, bad := openTables(path)
	if bad != nil {
		return bad, nil
	}
	var have sums
	entries := uint64(0)
	for k := range t.spaces {
		space := &t.spaces[k]
		for i := 0; i < len(space.blocks); {
			all, bad := t.readSome(space, i, scanBytes)
			if bad != nil {
				return bad, nil
			}
			read := int64(0)
			for _, b := range all {
				entries += uint64(len(b.keys))
				have.addAll(tableSpaces[k], b)
				_, _, size := space.place(i)
				read += size
				i++
			}
			if err := rest(read); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case entries != d.entries:
		return fmt.Errorf("it has %d entries, and was written with %d", entries, d.entries), nil
	case d.sum != Sum{} && have.total() != d.sum:
		return errors.New("it has as many entries as it was written with, but not the same"), nil
	}
	return nil, nil
}

// addAll adds the entries of a block of a key space.
func (s *sums) addAll(space byte, b *tableEntries) {
	var key []byte
	for i := range b.keys {
		key = b.keys[i].append(key[:0], space)
		s.add(key, b.values[i])
	}
}
