package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// store is where the records of one Batch lie.
type store interface {
	write(p []byte, at int64) error // at the end, where whole records end; synced when it returns
	read() ([]byte, error)
	rest() // gives the descriptor back until the next write
	remove() error
}

// memory is the store of a gateway that has no directory.
type memory struct{ b []byte }

func (m *memory) write(p []byte, at int64) error {
	m.b = append(m.b[:at], p...)
	return nil
}
func (m *memory) read() ([]byte, error) { return m.b, nil }
func (m *memory) rest()                 {}
func (m *memory) remove() error         { m.b = nil; return nil }

// file is the store of a spool that has one. It is made by the first write.
type file struct {
	path string
	made bool
	open *os.File // while something is written
}

func (f *file) write(p []byte, at int64) (err error) {
	isNew := !f.made
	if f.open == nil {
		if f.open, err = os.OpenFile(f.path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
			return fmt.Errorf("open %q: %w", f.path, err)
		}
		f.made = true
	}
	_, err = f.open.WriteAt(p, at)
	if err == nil {
		err = f.open.Sync()
	}
	if err == nil && isNew {
		err = syncDir(filepath.Dir(f.path))
	}
	if err != nil {
		// The caller is told that p is not kept, so nobody may find it.
		err = errors.Join(fmt.Errorf("write %q: %w", f.path, err), f.open.Truncate(at))
	}
	if err != nil && isNew {
		f.rest()
		f.made = false
		_ = os.Remove(f.path) // An empty one is removed by the next Open.
	}
	return err
}

func (f *file) read() ([]byte, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", f.path, err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, fileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", f.path, err)
	}
	if len(b) > fileBytesMax {
		return nil, fmt.Errorf("read %q: it has over %d bytes", f.path, fileBytesMax)
	}
	return b, nil
}

func (f *file) rest() {
	if f.open != nil {
		_ = f.open.Close() // What was written is synced.
		f.open = nil
	}
}

func (f *file) remove() error {
	f.rest()
	if !f.made {
		return nil
	}
	if err := os.Remove(f.path); err != nil {
		return fmt.Errorf("remove what was answered: %w", err)
	}
	return syncDir(filepath.Dir(f.path))
}

// makeDir makes a directory, with those above it that are missing, and makes their names durable with sync, each before
// anything is made in it. One that is there is synced too: the process that made it may have died before.
func makeDir(path string, sync func(dir string) error) error {
	above := filepath.Dir(path)
	_, err := os.Stat(path)
	isMissing := errors.Is(err, fs.ErrNotExist)
	if isMissing {
		if _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist) {
			if err := makeDir(above, sync); err != nil {
				return err
			}
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %q: %w", path, err)
	}
	err = sync(above)
	if !isMissing && errors.Is(err, fs.ErrPermission) {
		return nil // Another user has made it.
	}
	return err
}

// syncDir makes names that appeared in path or went from it last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %q: %w", path, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %q: %w", path, err)
	}
	return nil
}
