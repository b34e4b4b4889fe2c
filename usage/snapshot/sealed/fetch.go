package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meterd/meterd/retention/disk"
)

// Source is another node of a cluster, which may have snapshots.
type Source interface {
	Name() string
	// Get writes a file of a snapshot to w, its manifest too. A node that does not have it is fs.ErrNotExist. After an
	// error w has perhaps a part.
	Get(ctx context.Context, id, file string, w io.Writer) error
}

// errDiffers says that what another node sent is not what the audit log says was sealed.
var errDiffers = errors.New("it is not what the audit log says was sealed")

// lacking returns the snapshots that the audit log names, and that are not here, newest first; not what is being made.
func (s *Store) lacking(r *Record) (list []*Said) {
	for _, said := range r.kept() {
		s.mu.Lock()
		_, here := s.index(said.ID)
		making := s.making == said.ID
		s.mu.Unlock()
		if !here && !making {
			list = append(list, said)
		}
	}
	return list
}

// outdated returns a snapshot that is here and that the audit log says was removed, nil if there is none.
func (s *Store) outdated(r *Record) (old *Manifest) {
	s.List(0, func(m *Manifest) bool {
		if said := r.of(m.ID); said != nil && said.IsRemoved {
			old = m
		}
		return old == nil
	})
	return old
}

// fetch copies a snapshot from another node. It is shown when all of it was proved by what the audit log says, and is
// durable. What was here complete but for its name gets that.
func (s *Store) fetch(ctx context.Context, said *Said, from Source, room func(bytes uint64) bool) error {
	if name := filepath.Base(said.ID); name != said.ID || name[cellBytes(name):] != idOf(said.Sequence) {
		return fmt.Errorf("%q is no id of a snapshot of sequence %d", said.ID, said.Sequence)
	}
	dir := filepath.Join(s.path, "."+said.ID+disk.TmpSuffix)
	m, err := s.left(dir, said)
	if m == nil && err == nil {
		m, err = download(ctx, dir, said, from, room)
	}
	if err == nil {
		err = s.show(dir, m)
	}
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", said.ID, err)
	}
	return nil
}

// left returns what a crash left in a hidden directory if it is the snapshot, complete but for its name. Else nothing
// is left there.
func (s *Store) left(dir string, said *Said) (*Manifest, error) {
	m, err := s.read(dir, said.ID)
	if err == nil {
		raw, err := readBounded(filepath.Join(dir, ManifestName), manifestBytesMax)
		if err == nil && said.differs(m, raw) == "" {
			return m, nil
		}
	}
	if err := removeLeft(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, nil
}

// download writes a snapshot into a hidden directory, the manifest last. After an error nothing is left there.
func download(
	ctx context.Context, dir string, said *Said, from Source, room func(bytes uint64) bool,
) (m *Manifest, err error) {
	get := func(name string, bytesMax int64, w io.Writer) error {
		if err := from.Get(ctx, said.ID, name, &atMost{w: w, left: bytesMax}); err != nil {
			return fmt.Errorf("copy %s from node %s: %w", name, from.Name(), err)
		}
		return nil
	}
	var raw bytes.Buffer
	if err := get(ManifestName, manifestBytesMax, &raw); err != nil {
		return nil, err
	}
	if m, err = decodeManifest(raw.Bytes()); err != nil {
		return nil, fmt.Errorf("its manifest at node %s: %w", from.Name(), err)
	}
	if what := said.differs(m, raw.Bytes()); what != "" {
		return nil, fmt.Errorf("its manifest at node %s: %w: the %s differs", from.Name(), errDiffers, what)
	}
	if err := noRoom(disk.MakeDir(dir)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeLeft(dir))
		}
	}()
	for i := range m.Files {
		if err := downloadFile(dir, &m.Files[i], get, room); err != nil {
			return nil, err
		}
	}
	if err := noRoom(disk.WriteSynced(filepath.Join(dir, SumsName), sums(m.Files))); err != nil {
		return nil, err
	}
	return m, noRoom(disk.WriteSynced(filepath.Join(dir, ManifestName), raw.Bytes()))
}

// downloadFile writes a file, and compares it with what the manifest says.
func downloadFile(
	dir string, want *File, get func(name string, bytesMax int64, w io.Writer) error, room func(bytes uint64) bool,
) error {
	if !slices.Contains([]string{devicesCSV, devicesNDJSON, devicesParquet, productsCSV}, want.Name) {
		return fmt.Errorf("it has a file %q, which no snapshot has", want.Name)
	}
	if !room(uint64(max(0, want.Bytes)) + aheadBytes) {
		return errNoRoom()
	}
	f, err := createFile(dir, want.Name, room)
	if err != nil {
		return err
	}
	if err := get(want.Name, want.Bytes, f); err != nil {
		return errors.Join(err, f.drop())
	}
	have, err := f.finish(want.Rows)
	if err == nil && have != *want {
		err = fmt.Errorf("%w: %s has %d bytes with the check sum %s, and not %d with %s", errDiffers, want.Name, have.Bytes,
			have.SHA256, want.Bytes, want.SHA256)
	}
	return err
}

// atMost is a writer that refuses what is more than was announced.
type atMost struct {
	w    io.Writer
	left int64
}

// Write implements io.Writer.
func (a *atMost) Write(b []byte) (int, error) {
	if a.left -= int64(len(b)); a.left < 0 {
		return 0, fmt.Errorf("%w: more bytes come than it has", errDiffers)
	}
	return a.w.Write(b)
}

// show gives a snapshot that is complete in a hidden directory its name. A damaged one of that name makes room for it.
// After an error it is still complete there, for the next try.
func (s *Store) show(dir string, m *Manifest) error {
	defer s.came()
	if err := s.come(m.Sequence); err != nil {
		return err
	}
	isDamaged, err := s.name(dir, m)
	if isDamaged {
		err = errors.Join(err, removeLeft(filepath.Join(s.path, "."+m.ID+goneSuffix)))
	}
	return err
}

// name is what show does with the directory.
func (s *Store) name(dir string, m *Manifest) (isDamaged bool, err error) {
	s.files.Lock()
	defer s.files.Unlock()
	place := filepath.Join(s.path, m.ID)
	err = os.Rename(place, filepath.Join(s.path, "."+m.ID+goneSuffix))
	if isDamaged = err == nil; !isDamaged && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err = os.Rename(dir, place); err == nil {
		if err = disk.SyncDir(s.path); err != nil {
			err = errors.Join(err, os.Rename(place, dir))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if isDamaged {
		s.damaged = max(0, s.damaged-1)
	}
	if err == nil {
		s.list(m)
	}
	return isDamaged, err
}

// index returns where a snapshot is, or belongs, among those that are here. s.mu is held.
func (s *Store) index(id string) (i int, found bool) {
	return slices.BinarySearchFunc(s.sealed, id, func(m *Manifest, id string) int { return strings.Compare(m.ID, id) })
}
