package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ballast is a file of blocks that hold nothing: space that is certain to be there when the disk is full, because
// Badger ends the process when it cannot write, also while it opens the ledger.
type ballast struct {
	path  string
	bytes int64
}

// make allocates the ballast unless it is there. The blocks are real: fallocate, where it is known, or zeros.
func (b *ballast) make() error {
	var st unix.Stat_t
	if err := unix.Stat(b.path, &st); err == nil && st.Size == b.bytes {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make ballast %q: %w", b.path, err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, b.bytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		err = writeZeros(f, b.bytes)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(b.path)
		return fmt.Errorf("make ballast %q of %d bytes: %w", b.path, b.bytes, err)
	}
	return nil
}

func writeZeros(f *os.File, bytes int64) error {
	zeros := make([]byte, 1<<20)
	for bytes > 0 {
		n, err := f.Write(zeros[:min(bytes, int64(len(zeros)))])
		if err != nil {
			return err
		}
		bytes -= int64(n)
	}
	return f.Sync()
}

// giveUp removes the ballast and reports whether there was one.
func (b *ballast) giveUp() (bool, error) {
	err := os.Remove(b.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("give up ballast %q: %w", b.path, err)
	}
	return true, nil
}
