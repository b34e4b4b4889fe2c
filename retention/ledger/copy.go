package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OpenCopy copies a store's directory to a new directory below scratch, opens the copy, and removes it when it is
// closed: Badger cannot open a directory that a killed process left without writing to it. The original is not changed,
// and a daemon may have it open. scratch needs room for as many bytes as the directory has; empty means the system's
// place for temporary files.
func OpenCopy(o Options, scratch string) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	for range copiesMax {
		var s *Store
		var moved bool
		if s, moved, err = openCopy(o, scratch); err == nil {
			return s, nil
		}
		if !moved {
			break
		}
	}
	return nil, fmt.Errorf("a copy of %q: %w", o.Path, err)
}

// openCopy makes one copy. moved says that the original's tables changed meanwhile, so that another one may succeed.
func openCopy(o Options, scratch string) (s *Store, moved bool, err error) {
	from := o.Path
	if o.Path, err = os.MkdirTemp(scratch, "meterd-ledger-"); err != nil {
		return nil, false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(o.Path))
		}
	}()
	before, err := os.ReadFile(filepath.Join(from, "MANIFEST"))
	if err == nil || errors.Is(err, fs.ErrNotExist) { // Of a new one there is none.
		err = copyFiles(o.Path, from)
	}
	after, rerr := os.ReadFile(filepath.Join(from, "MANIFEST"))
	moved = !bytes.Equal(before, after) || rerr == nil && errors.Is(err, fs.ErrNotExist)
	if err == nil && moved {
		err = errors.New("its tables change faster than they can be copied")
	}
	if err != nil {
		return nil, moved, err
	}
	if s, err = Open(o); err != nil {
		return nil, false, err
	}
	s.scratch = o.Path
	return s, false, nil
}

// copyFiles copies in an order in which a store that is written meanwhile is copied as a kill would leave it, if its
// manifest stays the same: memtables before the value log that they point to. Tables do not change.
func copyFiles(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	place := func(e os.DirEntry) int { return strings.Index(".mem.vlog", filepath.Ext(e.Name())) }
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int { return place(a) - place(b) })
	for _, e := range entries {
		if e.Name() == "LOCK" || !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(to, e.Name()), filepath.Join(from, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file and leaves holes where it has only zeroes: Badger's files are longer than what is in them. One
// that is emptied meanwhile is being removed, and is copied as a kill would leave it.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf, zeroes := make([]byte, copyBytes), make([]byte, copyBytes)
	for at := int64(0); ; {
		n, rerr := io.ReadFull(in, buf)
		if !bytes.Equal(buf[:n], zeroes[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			is, err := in.Stat()
			if err != nil {
				return err
			}
			if is.Size() == 0 {
				at = 0
			}
			return out.Truncate(at)
		}
		if rerr != nil {
			return rerr
		}
	}
}
