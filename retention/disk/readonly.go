package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ReadDir opens a data directory to look at it: nothing in it is changed. If no daemon has it open, none can start
// there meanwhile; if one has, InUse says so, and what lies there goes on changing. Several may look at the same time.
func ReadDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	var err error
	if d.lock, d.inUse, err = lockShared(path); err != nil {
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

// InUse reports whether a daemon had the directory open when ReadDir opened it.
func (d *Dir) InUse() bool { return d.inUse }

// lockShared holds DIR/LOCK against daemons, and against nobody else. A copy of a directory may lack the file.
func lockShared(path string) (f *os.File, inUse bool, err error) {
	name := filepath.Join(path, "LOCK")
	f, err = os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, false, fmt.Errorf("open data directory %q: %w", path, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		_ = f.Close()
		return nil, false, fmt.Errorf("lock %q: %w", name, err)
	}
	return f, err != nil, nil
}

// ReadCheckpoint opens the newest installed checkpoint of a directory that ReadDir opened; nil without an error when
// there is none. It stays readable when a daemon replaces it.
func (d *Dir) ReadCheckpoint() (*CheckpointReader, error) {
	return (&Checkpoints{path: d.CheckpointPath()}).Latest()
}
