package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Direct is a new file whose writes of whole pages go past the page cache, where the file system can do that: dirty
// pages would hold up the syncs of the log, and push out what others read.
type Direct struct{ *os.File }

// CreateDirect creates a file, which must not exist.
func CreateDirect(path string) (Direct, error) {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) { // The file system knows no such writes.
		f, err = os.OpenFile(path, flags, 0o600)
	}
	if err != nil {
		return Direct{}, fmt.Errorf("create %q: %w", path, err)
	}
	return Direct{f}, nil
}

// WritePages appends whole pages of memory that NewPages returned.
func (d Direct) WritePages(pages []byte) error {
	n, err := d.Write(pages)
	if errors.Is(err, unix.EINVAL) { // The file system has larger blocks, or says only now that it cannot.
		if _, err = unix.FcntlInt(d.Fd(), unix.F_SETFL, 0); err == nil {
			_, err = d.Write(pages[n:])
		}
	}
	return err
}

// PageBytes is the size of a page.
const PageBytes = 4 << 10

// NewPages returns memory full of zeroes that begins at a page, as direct writes need it.
func NewPages(bytes int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", bytes, err)
	}
	return b, nil
}

// FreePages gives memory of NewPages back.
func FreePages(b []byte) { _ = unix.Munmap(b) }
