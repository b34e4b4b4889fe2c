package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteSynced replaces path by data: after it returns, a power cut leaves either the old file or the new one.
func WriteSynced(path string, data []byte) error {
	tmp := path + TmpSuffix
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create %q: %w", tmp, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// TmpSuffix marks files that are not finished. The owner of a directory removes them when it opens it.
const TmpSuffix = ".tmp"

// SyncDir makes the names in a directory durable: those that were made, renamed or removed before the call.
func SyncDir(path string) error {
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

// MakeDir makes a directory, if it is missing, and makes its name durable.
func MakeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %q: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// SyncData makes what was written to f durable, with what of its metadata is needed to read it (fdatasync).
func SyncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("sync %q: %w", f.Name(), err)
		}
		return nil
	}
}
