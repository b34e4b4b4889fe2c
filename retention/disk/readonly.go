package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

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
// there is none. While a daemon has the directory open it is copied to scratch first (empty: the system's place for
// temporary files), since the daemon removes it when it has a newer one. The copy takes its space until it is closed.
func (d *Dir) ReadCheckpoint(scratch string) (r *CheckpointReader, err error) {
	at := &Checkpoints{path: d.CheckpointPath()}
	if !d.inUse {
		return at.Latest()
	}
	for range checkpointCopiesMax {
		installed, err := at.list()
		if err != nil || len(installed) == 0 {
			return nil, err
		}
		newest := at.name(installed[len(installed)-1])
		if r, err = copyCheckpoint(newest, scratch); err == nil {
			return r, nil
		}
		if again, lerr := at.list(); lerr != nil || slices.Equal(again, installed) {
			return nil, err // It was not replaced meanwhile.
		}
	}
	return nil, fmt.Errorf("checkpoints in %q are replaced faster than they can be copied", at.path)
}

// copyCheckpoint opens a copy of a checkpoint that has no name any more.
func copyCheckpoint(path, scratch string) (r *CheckpointReader, err error) {
	dir, err := os.MkdirTemp(scratch, "meterd-checkpoint-")
	if err != nil {
		return nil, fmt.Errorf("copy checkpoint %q: %w", path, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, filepath.Base(path)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("copy checkpoint %q: %w", path, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("copy checkpoint %q: %w", path, err)
	}
	if r, err = (&Checkpoints{path: dir}).Latest(); err == nil {
		r.path = path
	}
	return r, err
}
