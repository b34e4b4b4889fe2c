package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
)

// directory is a Place in a file system. The directory itself is never made: where a file system should be mounted and
// is not, the disk below must not fill up.
type directory struct{ path string }

func newDirectory(path string) *directory { return &directory{path: path} }

// Get returns what is there under a name.
func (d *directory) Get(_ context.Context, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.path, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notThere(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open an exported file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, manifestBytesMax))
	if err != nil {
		return nil, fmt.Errorf("read an exported file: %w", err)
	}
	return b, nil
}

// Put writes a file beside its name, syncs it and renames it.
func (d *directory) Put(ctx context.Context, name, _ string, content Content, bytes int64) error {
	path := filepath.Join(d.path, filepath.FromSlash(name))
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("the directory of --export-to must exist and be writable: %w", err)
	}
	f, err := os.OpenFile(path+disk.TmpSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("create an exported file: %w", err)
	}
	n, err := io.Copy(f, &untilDone{ctx: ctx, r: content})
	if err == nil && n != bytes {
		err = fmt.Errorf("%d bytes were written, and not %d", n, bytes)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+disk.TmpSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return disk.SyncDir(filepath.Dir(path))
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}
