package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse says that a daemon has the data directory open.
var ErrInUse = errors.New("a daemon has it open")

// ReadDir opens a data directory to look at it: nothing in it is changed, and while it is open no daemon can start
// there. One that a daemon has open is refused with ErrInUse. Several may look at the same time.
func ReadDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	var err error
	if d.lock, err = lockShared(path); err != nil {
		return nil, err
	}
	first, err := d.readVersion()
	if err == nil && first {
		err = fmt.Errorf("%q is no data directory of meterd: it has no VERSION", path)
	}
	if err == nil {
		d.identity, err = readIdentity(filepath.Join(path, "IDENTITY"))
	}
	if err != nil {
		_ = d.lock.Close()
		return nil, err
	}
	return d, nil
}

// lockShared holds DIR/LOCK against daemons, and against nobody else. A copy of a directory may lack the file.
func lockShared(path string) (*os.File, error) {
	name := filepath.Join(path, "LOCK")
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open data directory %q: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %q: %w, process %s", path, ErrInUse, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	return f, nil
}

// ReadCheckpoint opens the newest installed checkpoint of a directory that ReadDir opened; nil without an error when
// there is none.
func (d *Dir) ReadCheckpoint() (*CheckpointReader, error) {
	return (&Checkpoints{path: d.CheckpointPath()}).Latest()
}
