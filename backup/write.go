package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
)

// writer writes the files of a cut as a tar and notes what they are.
type writer struct {
	c   *Cut
	ctx context.Context
	tar *tar.Writer
	buf []byte
}

// Write writes the copy, its manifest last. After an error what was written has none.
func (c *Cut) Write(ctx context.Context, to io.Writer) (*Manifest, error) {
	w := &writer{c: c, ctx: ctx, tar: tar.NewWriter(to), buf: make([]byte, copyBytes)}
	for _, step := range []func() error{w.texts, w.checkpoint, w.archive, w.rows, w.snapshots, w.log, w.manifest} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("copy data directory %q: %w", c.s.Dir.Path(), err)
		}
	}
	return &c.manifest, nil
}

// put writes a file and notes it.
func (w *writer) put(name string, r io.Reader, size int64) error {
	hash := sha256.New()
	if err := w.send(name, io.TeeReader(r, hash), size); err != nil {
		return err
	}
	w.c.manifest.Files = append(w.c.manifest.Files, File{name, size, hex.EncodeToString(hash.Sum(nil))})
	return nil
}

func (w *writer) send(name string, r io.Reader, size int64) error {
	if err := w.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	n, err := io.CopyBuffer(w.tar, io.LimitReader(&yielding{w, r}, size), w.buf)
	if err == nil && n != size {
		err = fmt.Errorf("it ends after %d bytes of %d", n, size)
	}
	if err == nil {
		err = w.tar.Flush()
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	return nil
}

// yielding reads until the copy must end.
type yielding struct {
	w *writer
	r io.Reader
}

func (y *yielding) Read(b []byte) (int, error) {
	if err := y.w.goesOn(); err != nil {
		return 0, err
	}
	return y.r.Read(b)
}

// goesOn says why the copy must end.
func (w *writer) goesOn() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.c.s.Low() {
		return ErrNoRoom
	}
	return nil
}

func (w *writer) data(name string, b []byte) error {
	return w.put(name, bytes.NewReader(b), int64(len(b)))
}

// file writes a file of the data directory that does not change.
func (w *writer) file(name string) error {
	f, err := os.Open(filepath.Join(w.c.s.Dir.Path(), filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.put(name, f, info.Size())
}

// texts writes what the first start has fixed.
func (w *writer) texts() error {
	if err := w.file(versionName); err != nil {
		return err
	}
	if err := w.data(identityName, w.c.s.Dir.IdentityWith(w.c.s.Seed)); err != nil {
		return err
	}
	if err := w.file(demoName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkpoint proves the checkpoint and writes it.
func (w *writer) checkpoint() error {
	r := w.c.checkpoint
	if r == nil {
		return nil
	}
	if err := r.Sections(func(uint16, []byte) error { return w.ctx.Err() }); err != nil {
		return err
	}
	content := r.Content()
	return w.put(path.Join(checkpointRoom, filepath.Base(r.Path())), content, content.Size())
}

// archive writes the archive's directories as they are, damaged ones too, since the rest is worth a copy: the manifest
// names them, and the daemon is told (archive.Options.Damaged).
func (w *writer) archive() error {
	for i, dir := range w.c.archive.Directories() {
		entries, err := os.ReadDir(filepath.Join(w.c.s.Dir.ArchivePath(), dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := w.file(path.Join(archiveRoom, dir, e.Name())); err != nil {
				return err
			}
		}
		err = w.c.archive.Prove(i, func(int64) error { return w.goesOn() })
		switch {
		case err == nil:
		case !errors.Is(err, disk.ErrDamaged) || disk.IsOfMachine(err): // Nobody knows whether it is damaged.
			return err
		default:
			w.c.manifest.Damaged = append(w.c.manifest.Damaged, path.Join(archiveRoom, dir))
		}
	}
	name, data := w.c.archive.Manifest()
	return w.data(path.Join(archiveRoom, name), data)
}

// rows writes the rows of ledger and webhooks in parts.
func (w *writer) rows() error {
	return errors.Join(w.rowsOf(ledgerRoom, w.c.ledger), w.rowsOf(webhooksRoom, w.c.webhooks))
}

func (w *writer) rowsOf(room string, rows *ledger.Instant) error {
	var part []byte
	number := 0
	flush := func() error {
		if len(part) == 0 {
			return nil
		}
		number++
		err := w.data(fmt.Sprintf("%s/%s%08d", room, rowsPrefix, number), part)
		part = part[:0]
		return err
	}
	err := rows.Prove(func(int64) error { return w.goesOn() })
	if err != nil {
		return err
	}
	err = rows.Entries(func(e ledger.Entry) error {
		if part = appendRow(part, e); len(part) < rowsBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func (w *writer) snapshots() error {
	for _, name := range w.c.sealed {
		if err := w.file(path.Join(snapshotsRoom, name)); err != nil {
			return err
		}
	}
	for name, content := range w.c.positions {
		if err := w.data(path.Join(snapshotsRoom, name), content); err != nil {
			return err
		}
	}
	return nil
}

// log writes the segments, and how far they go.
func (w *writer) log() error {
	for i := range w.c.log.Files() {
		err := w.c.log.Copy(w.ctx, i, func(name string, r io.Reader, size int64) error {
			return w.put(path.Join(logRoom, name), r, size)
		})
		if err != nil {
			return err
		}
	}
	name, data := w.c.log.Mark()
	return w.data(path.Join(logRoom, name), data)
}

func (w *writer) manifest() error {
	b, err := w.c.manifest.encode()
	if err != nil {
		return err
	}
	if err := w.send(ManifestName, bytes.NewReader(b), int64(len(b))); err != nil {
		return err
	}
	return w.tar.Close()
}

// filesOf returns the files below a directory that are neither hidden nor unfinished, with slashes.
func filesOf(dir string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case strings.HasPrefix(e.Name(), ".") && e.IsDir():
			return fs.SkipDir
		case e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && !strings.HasSuffix(name, disk.TmpSuffix):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", dir, err)
	}
	return names, nil
}
