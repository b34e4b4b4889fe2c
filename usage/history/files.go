package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// files is the directory in which the children keep their files.
type files struct {
	path string
	dir  *os.File
}

// openFiles opens the directory and makes it if it is missing.
func openFiles(path string) (*files, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the history's directory %q: %w", path, err)
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the history's directory: %w", err)
	}
	return &files{path: path, dir: dir}, nil
}

// socket returns the path of a socket in the directory. It goes by the open directory, since the path of a socket has
// 107 bytes at most, and that of a data directory may have more.
func (f *files) socket(name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(f.dir.Fd())), name)
}

// aside moves a folder out of the way, in place of what was moved before. One that is missing is no fault.
func (f *files) aside(name string) error {
	from := filepath.Join(f.path, name)
	to := from + ".damaged"
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (f *files) close() error { return f.dir.Close() }
