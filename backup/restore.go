package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
)

// Restore makes a data directory of the copy at a place. The directory is empty or missing. If the copy is damaged or
// not whole nothing is left of it.
func Restore(ctx context.Context, from Place, to string) (*Manifest, error) {
	m, encoded, err := manifestOf(ctx, from)
	if err != nil {
		return nil, err
	}
	d, err := NewDirectory(to)
	if err != nil {
		return nil, err
	}
	if err := d.room(m.Bytes()); err != nil {
		return nil, err
	}
	err = d.restore(ctx, from, m)
	if err == nil {
		err = d.Put(ctx, ManifestName, bytes.NewReader(encoded), int64(len(encoded)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("restore to %q: %w", to, err), d.Abort())
	}
	return m, nil
}

// manifestOf reads the manifest of the copy at a place.
func manifestOf(ctx context.Context, from Place) (m *Manifest, encoded []byte, err error) {
	r, err := from.Open(ctx, ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, ErrIncomplete
	}
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	if encoded, err = readManifest(r, 0); err != nil {
		return nil, nil, err
	}
	if m, err = decodeManifest(encoded); err != nil {
		return nil, nil, disk.Damage(ManifestName, "%v", err)
	}
	return m, encoded, nil
}

func (d *Directory) restore(ctx context.Context, from Place, m *Manifest) error {
	for _, f := range m.Files {
		r, err := from.Open(ctx, f.Name)
		if errors.Is(err, fs.ErrNotExist) {
			err = disk.Damage(f.Name, "it is missing")
		}
		if err != nil {
			return err
		}
		err = d.Put(ctx, f.Name, &untilDone{ctx, prove(r, f)}, f.Bytes)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
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

// Directory is a Target: a data directory in the making. Put of the manifest completes it; Abort gives it up. One that
// is neither, for the process was killed, has no VERSION: no daemon takes it.
type Directory struct {
	path    string
	version []byte
	stores  map[string]*rows // by their rooms
	made    bool             // the directory was
}

// rows is a store in the making.
type rows struct {
	store *ledger.Store
	parts *ledger.Parts
}

// NewDirectory begins a data directory. It is refused if anything is there.
func NewDirectory(path string) (*Directory, error) {
	there, err := firstIn(path)
	if err != nil {
		return nil, err
	}
	if there != "" {
		return nil, fmt.Errorf(
			"%q is not empty, it has %q: a copy is restored to an empty directory; move away what is there",
			path,
			filepath.Base(there),
		)
	}
	_, err = os.Stat(path)
	d := &Directory{path: path, stores: map[string]*rows{}, made: errors.Is(err, fs.ErrNotExist)}
	if err := disk.MakeDir(path); err != nil {
		return nil, err
	}
	return d, nil
}

// room refuses a copy that the disk has no room for.
func (d *Directory) room(bytes int64) error {
	free, err := disk.Free(d.path)
	if err != nil {
		return err
	}
	if need := uint64(bytes) + spareBytes; free < need {
		return errors.Join(
			fmt.Errorf("the disk of %q has %d bytes free, and the copy needs %d", d.path, free, need),
			d.Abort(),
		)
	}
	return nil
}

// Put takes a file; rows go to their store.
func (d *Directory) Put(_ context.Context, name string, r io.Reader, size int64) error {
	if name == ManifestName {
		return d.complete(r)
	}
	if err := checkName(name); err != nil {
		return err
	}
	room, _, _ := strings.Cut(name, "/")
	if name == versionName {
		if size > versionBytesMax {
			return disk.Damage(name, "it has %d bytes", size)
		}
		var err error
		d.version, err = io.ReadAll(r)
		return err
	}
	if room == ledgerRoom || room == webhooksRoom {
		return d.putRows(name, r)
	}
	path := filepath.Join(d.path, filepath.FromSlash(name))
	if err := makeDirs(d.path, filepath.Dir(path)); err != nil {
		return err
	}
	return writeFile(path, r, size)
}

// Remove implements Target. What is left is removed as a whole, once.
func (d *Directory) Remove(context.Context, string) error { return d.Abort() }

func (d *Directory) putRows(name string, r io.Reader) error {
	room, _, _ := strings.Cut(name, "/")
	to, err := d.store(room)
	if err != nil {
		return err
	}
	var written error
	err = readRows(r, func(e ledger.Entry) error {
		written = to.parts.Add(e)
		return written
	})
	if err == nil || written != nil {
		return err
	}
	if _, rerr := io.Copy(io.Discard, r); rerr != nil {
		return rerr // What it comes from says more than the row that could not be read.
	}
	return disk.Damage(name, "%v", err)
}

// store opens the store of a room.
func (d *Directory) store(room string) (*rows, error) {
	if s := d.stores[room]; s != nil {
		return s, nil
	}
	store, err := ledger.Open(ledger.Options{Path: filepath.Join(d.path, room)})
	if err != nil {
		return nil, err
	}
	d.stores[room] = &rows{store: store, parts: ledger.NewParts(store)}
	return d.stores[room], nil
}

// complete ends the stores at their positions, makes every name durable, and writes VERSION.
func (d *Directory) complete(manifest io.Reader) error {
	b, err := readManifest(manifest, 0)
	if err != nil {
		return err
	}
	m, err := decodeManifest(b)
	if err != nil {
		return err
	}
	for room, at := range map[string]At{ledgerRoom: m.Ledger, webhooksRoom: m.Webhook} {
		if err := d.end(room, at); err != nil {
			return err
		}
	}
	for _, room := range []string{logRoom, archiveRoom, checkpointRoom, snapshotsRoom} {
		if err := disk.MakeDir(filepath.Join(d.path, room)); err != nil { // It may have had no file.
			return err
		}
	}
	if err := syncTree(d.path); err != nil {
		return err
	}
	return disk.WriteSynced(filepath.Join(d.path, versionName), d.version)
}

// end writes what a store lacks and closes it.
func (d *Directory) end(room string, at At) error {
	p, err := at.position()
	if err != nil {
		return err
	}
	s, err := d.store(room)
	if err != nil {
		return err
	}
	if p.Seq > 0 {
		err = s.parts.Finish(p)
	}
	delete(d.stores, room)
	return errors.Join(err, s.store.Close())
}

// syncTree makes the names below a directory durable. Files are already.
func syncTree(path string) error {
	return filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return disk.SyncDir(at)
	})
}

// Abort removes what was made.
func (d *Directory) Abort() error {
	var errs []error
	for room, s := range d.stores {
		errs = append(errs, s.store.Close())
		delete(d.stores, room)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			errs = append(errs, os.RemoveAll(filepath.Join(d.path, e.Name())))
		}
	}
	if d.made {
		if err := os.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what is left of a copy in %q: %w", d.path, err)
	}
	return nil
}
