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
	s.mu.Lock()
	held := s.dirs[d.number]
	if held != nil {
		held.holders++
	}
	s.mu.Unlock()
	if held == nil {
		return nil
	}
	defer func() {
		s.mu.Lock()
		held.holders--
		s.mu.Unlock()
	}()
	path := filepath.Join(s.o.Path, d.name())
	if err := syncAll(path); err != nil { // Nobody writes to it, so this drops its pages.
		return s.damaged(d, err)
	}
	err := s.proveFiles(d, rest)
	return errors.Join(err, syncAll(path)) // What others read is not pushed out of the cache for it.
}

// proveFiles proves a directory that stays on the disk meanwhile, as the page cache has it.
func (s *Store) proveFiles(d *directory, rest func(bytes int64) error) error {
	t, err := openTables(filepath.Join(s.o.Path, d.name()))
	if err != nil {
		return s.damaged(d, err)
	}
	entries, err := s.proveTables(d, t, rest)
	if err == nil && entries != d.entries {
		err = s.damaged(d, fmt.Errorf("it has %d entries, and was written with %d", entries, d.entries))
	}
	return err
}

// proveTables reads all blocks and returns how many entries they have.
func (s *Store) proveTables(d *directory, t *tables, rest func(bytes int64) error) (entries uint64, err error) {
	for k := range t.spaces {
		space := &t.spaces[k]
		for i := 0; i < len(space.blocks); {
			all, err := t.readSome(space, i, scanBytes)
			if err != nil {
				return 0, s.damaged(d, err)
			}
			read := int64(0)
			for _, b := range all {
				entries += uint64(len(b.keys))
				_, _, size := space.place(i)
				read += size
				i++
			}
			if err := rest(read); err != nil {
				return 0, err
			}
		}
	}
	return entries, nil
}
