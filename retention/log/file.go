package log

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tmpSuffix      = ".tmp"      // of a file that is not finished; the next start removes it
	removingSuffix = ".removing" // of a segment that is being removed; the next start removes it
)

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %q to sync it: %w", path, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync %q: %w", path, err)
	}
	return nil
}

// makeDir makes a directory that survives a power cut, if it is missing.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncData makes what was written to a file durable, and its size if that changed.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("sync %q: %w", f.Name(), err)
		}
		return nil
	}
}

// writePieces writes pieces one behind the other from byte `at` on, in one pwritev unless the kernel takes less. The
// slice, not the pieces, may be changed.
func writePieces(f *os.File, pieces [][]byte, at int64) error {
	for {
		for len(pieces) > 0 && len(pieces[0]) == 0 {
			pieces = pieces[1:]
		}
		if len(pieces) == 0 {
			return nil
		}
		n, err := unix.Pwritev(int(f.Fd()), pieces, at)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = unix.EIO
		}
		if err != nil {
			return fmt.Errorf("write %q: %w", f.Name(), err)
		}
		at += int64(n)
		for len(pieces) > 0 && n >= len(pieces[0]) {
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
		if n > 0 {
			pieces[0] = pieces[0][n:]
		}
	}
}

// allocate gives a file its blocks, without content. It reports false where the file system cannot do that: the file
// then grows as it is written.
func allocate(f *os.File, bytes int64) (bool, error) {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, bytes)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("allocate %d bytes for %q: %w", bytes, f.Name(), err)
		}
		return true, nil
	}
}

// writeOut has a range of a file written and waits for it, so that no sync has to. It promises nothing: a file system
// that does not know it writes later.
func writeOut(f *os.File, from, bytes int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), from, bytes, all)
	if err == unix.EIO || err == unix.ENOSPC {
		return fmt.Errorf("write %q: %w", f.Name(), err)
	}
	return nil
}

// forget drops a file's clean pages, so that the next read comes from the disk. It is advice: a file system without a
// page cache of the kernel has nothing to drop.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// truncateGently shortens a file in small steps.
func truncateGently(path string, from, to int64) error {
	pause := time.NewTicker(removeEvery)
	defer pause.Stop()
	for size := from - removeBytes; ; size -= removeBytes {
		if err := os.Truncate(path, max(size, to)); err != nil {
			return fmt.Errorf("shorten %q: %w", path, err)
		}
		if size <= to {
			return nil
		}
		<-pause.C
	}
}

// removeGently removes a file in small steps. The caller has renamed it to what the next start removes.
func removeGently(path string, bytes int64) error {
	if err := truncateGently(path, bytes, 0); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}
