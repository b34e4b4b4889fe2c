package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/usage/snapshot/export"
)

// Target takes the files of a copy, each once, the manifest last. Names have slashes.
type Target interface {
	// Put reads size bytes, makes them what is there under a name, and returns when that is durable. An error of r's is
	// returned, and nothing is there then.
	Put(ctx context.Context, name string, r io.Reader, size int64) error
	// Remove removes what Put has made.
	Remove(ctx context.Context, name string) error
}

// Place is where copies are kept.
type Place interface {
	Target
	// Open reads what is there under a name; fs.ErrNotExist if nothing is.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// First returns the name of something that is there, "" if nothing is.
	First(ctx context.Context) (string, error)
}

// ParsePlace returns the place that a text names: s3://BUCKET/PREFIX, or a path. What S3 needs beside it is in the
// environment, as for exports.
func ParsePlace(text string, env export.Environment) (Place, error) {
	if text == "" {
		return nil, errors.New("must be a directory or s3://BUCKET/PREFIX")
	}
	path, err := filepath.Abs(text)
	if err != nil {
		return nil, fmt.Errorf("find %q: %w", text, err)
	}
	if len(text) < 5 || text[:5] != "s3://" {
		return &directory{path: path}, nil
	}
	place, err := export.ParsePlace(text, env)
	if err != nil {
		return nil, err
	}
	b, ok := place.(*export.Bucket)
	if !ok {
		return nil, fmt.Errorf("%q is no bucket", text)
	}
	return bucket{b}, nil
}

// bucket is a Place in S3.
type bucket struct{ *export.Bucket }

// Put makes an object.
func (b bucket) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return b.PutFrom(ctx, name, "application/octet-stream", r, size)
}

// directory is a Place in a file system. Its parent must exist.
type directory struct{ path string }

func (d *directory) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// Put writes a file beside its name, syncs it and renames it.
func (d *directory) Put(_ context.Context, name string, r io.Reader, size int64) (err error) {
	path := d.file(name)
	if err := makeDirs(d.path, filepath.Dir(path)); err != nil {
		return err
	}
	if err := writeFile(path+disk.TmpSuffix, r, size); err != nil {
		return err
	}
	if err := os.Rename(path+disk.TmpSuffix, path); err != nil {
		return fmt.Errorf("give %q its name: %w", path, errors.Join(err, os.Remove(path+disk.TmpSuffix)))
	}
	return disk.SyncDir(filepath.Dir(path))
}

// Remove removes a file, and the directories that it leaves empty.
func (d *directory) Remove(_ context.Context, name string) error {
	return removeFile(d.path, d.file(name))
}

// Open opens a file.
func (d *directory) Open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(d.file(name))
	if err != nil {
		return nil, fmt.Errorf("open a file of the backup: %w", err)
	}
	return f, nil
}

// First returns the name of something in the directory.
func (d *directory) First(context.Context) (string, error) { return firstIn(d.path) }

// firstIn returns the name of something in a directory, "" if it is empty or missing.
func firstIn(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list %q: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", nil
}

// makeDirs makes root, and the directories from it to dir.
func makeDirs(root, dir string) error {
	if dir != root {
		if err := makeDirs(root, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return disk.MakeDir(dir)
}

// writeFile writes a new file of size bytes and makes it durable. After an error it is not there.
func writeFile(path string, r io.Reader, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create a file: %w", err)
	}
	n, err := io.Copy(f, r)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, and not %d", n, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// removeFile removes a file, and the directories up to root, with it, that this leaves empty.
func removeFile(root, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what is left of a copy: %w", err)
	}
	for dir := filepath.Dir(path); len(dir) >= len(root); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // It has other files.
			break
		}
	}
	return nil
}
