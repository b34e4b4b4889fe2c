package log

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// removingSuffix marks a segment that is being removed; the next start removes it.
const removingSuffix = ".removing"

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

// openDirect opens a file once more, for writes of whole pages that go past the page cache. Where the file system knows
// no such writes they are as usual.
func openDirect(f *os.File) (*os.File, error) {
	to, err := os.OpenFile(f.Name(), os.O_WRONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		to, err = os.OpenFile(f.Name(), os.O_WRONLY, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", f.Name(), err)
	}
	return to, nil
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
