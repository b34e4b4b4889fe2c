package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/meterd/meterd/retention/disk"
)

// Store is the directory of sealed snapshots.
//
//	DIR/snapshots/s00000007/       devices.* products.csv SHA256SUMS manifest.json     sealed: never written again
//	DIR/snapshots/.s00000008.tmp/  the same, not all of it                             being made, or left by a crash
//	DIR/snapshots/POSITIONS        the newest in the audit log, and what was exported
//
// It is safe for concurrent use; snapshots are begun one at a time.
type Store struct {
	path   string
	prefix string // of ids
	logger *slog.Logger

	files     sync.Mutex  // who renames, or writes POSITIONS; before mu. A disk may take its time
	mu        sync.Mutex  // of what follows, only while memory is looked at
	sealed    []*Manifest // by sequence
	damaged   int         // directories that are no snapshot
	positions positions
	broken    error  // why nothing more can be sealed before a restart
	making    string // the id of what is being made
	coming    uint64 // the sequence of what comes from another node and is about to be shown, 0 for none
	made      bool   // a Maker has the store
	isCopy    bool   // of a cluster: the audit log says what there is
	known     bool   // what the audit log says was looked at by its owner
	lost      map[string]bool
	changed   chan struct{} // closed when there is another snapshot
}

// OpenStore opens the directory at path, which exists. prefix begins the ids of snapshots, "3-" for those of cell 3 of
// a cluster, so that they are unique in the cluster; empty for a daemon alone, and for cell 0. A snapshot that was
// complete but for its name gets it; what else a crash left is removed. A damaged snapshot is left out, and logged.
func OpenStore(path, prefix string, logger *slog.Logger) (*Store, error) {
	return openStore(path, prefix, false, logger)
}

// OpenCopy is OpenStore at a node of a cluster. What was complete but for its name waits for a Keeper to find it in the
// audit log: another node may have sealed another snapshot under that id.
func OpenCopy(path, prefix string, logger *slog.Logger) (*Store, error) {
	return openStore(path, prefix, true, logger)
}

func openStore(path, prefix string, isCopy bool, logger *slog.Logger) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		path: path, prefix: prefix, isCopy: isCopy, logger: logger, changed: make(chan struct{}), lost: map[string]bool{},
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		id, hidden := strings.CutPrefix(strings.TrimSuffix(name, disk.TmpSuffix), ".")
		switch {
		case hidden:
			if err := s.recover(name, id); err != nil {
				return nil, err
			}
		case e.IsDir():
			s.load(name)
		}
	}
	slices.SortFunc(s.sealed, func(a, b *Manifest) int { return strings.Compare(a.ID, b.ID) })
	for i, m := range s.sealed[min(1, len(s.sealed)):] {
		if before := s.sealed[i]; m.Sequence == before.Sequence+1 && textOf(m.Previous) != before.SHA256 {
			logger.Error("the chain of snapshots is broken: previous_sha256 is not that of the one before", "snapshot", m.ID)
		}
	}
	s.positions, err = s.readPositions()
	return s, err
}

// recover completes or removes what a crash left.
func (s *Store) recover(name, id string) error {
	tmp := filepath.Join(s.path, name)
	if m, err := s.read(tmp, id); err == nil && m.ID == id {
		if s.isCopy {
			return nil
		}
		if err := errors.Join(os.Rename(tmp, filepath.Join(s.path, id)), disk.SyncDir(s.path)); err != nil {
			return fmt.Errorf("complete snapshot %s: %w", id, err)
		}
		s.logger.Info("a snapshot is complete: its sealing was interrupted", "snapshot", id)
		s.sealed = append(s.sealed, m)
		return nil
	}
	s.logger.Info("what is left of a snapshot that was interrupted is removed", "path", tmp)
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove what is left of a snapshot: %w", err)
	}
	return nil
}

// load reads the snapshot of a directory.
func (s *Store) load(id string) {
	m, err := s.read(filepath.Join(s.path, id), id)
	if err != nil {
		s.damaged++
		s.logger.Error("a snapshot is damaged and not shown: put it back from its export or a backup, or move it away",
			"path", filepath.Join(s.path, id), "error", err)
		return
	}
	s.sealed = append(s.sealed, m)
}

// read reads a manifest and looks whether the files are there.
func (s *Store) read(dir, id string) (*Manifest, error) {
	b, err := readBounded(filepath.Join(dir, ManifestName), manifestBytesMax)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(b)
	if err != nil {
		return nil, disk.Damage(filepath.Join(dir, ManifestName), "%v", err)
	}
	if m.ID != id {
		return nil, disk.Damage(filepath.Join(dir, ManifestName), "it is that of snapshot %s", m.ID)
	}
	for _, f := range m.Files {
		info, err := os.Stat(filepath.Join(dir, filepath.Base(f.Name)))
		if err != nil {
			return nil, fmt.Errorf("look at a file of snapshot %s: %w", id, err)
		}
		if info.Size() != f.Bytes {
			return nil, disk.Damage(filepath.Join(dir, f.Name), "it has %d bytes, and not %d", info.Size(), f.Bytes)
		}
	}
	return m, nil
}

func readBounded(path string, bytesMax int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, bytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if int64(len(b)) > bytesMax {
		return nil, disk.Damage(path, "it is over %d bytes", bytesMax)
	}
	return b, nil
}

// List calls fn for the snapshots before sequence before (0: all), newest first, until fn returns false.
func (s *Store) List(before uint64, fn func(*Manifest) bool) {
	s.mu.Lock()
	list := s.sealed
	s.mu.Unlock()
	for _, m := range slices.Backward(list) {
		if (before == 0 || m.Sequence < before) && !fn(m) {
			return
		}
	}
}

// Get returns the snapshot of an id, nil if there is none.
func (s *Store) Get(id string) *Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.index(id)
	if !found {
		return nil
	}
	return s.sealed[i]
}

// newest returns the newest snapshot, nil before the first. s.mu is held.
func (s *Store) newest() *Manifest {
	if len(s.sealed) == 0 {
		return nil
	}
	return s.sealed[len(s.sealed)-1]
}

// Content is an open sealed file. It must be closed.
type Content interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Open opens a file of a snapshot and says what it is. An unknown name is reported as fs.ErrNotExist.
func (s *Store) Open(m *Manifest, name string) (Content, File, error) {
	known := m.file(name)
	if known == nil {
		return nil, File{}, fmt.Errorf("open %q of snapshot %s: %w", name, m.ID, fs.ErrNotExist)
	}
	f, err := os.Open(filepath.Join(s.path, m.ID, known.Name))
	if err != nil {
		return nil, File{}, fmt.Errorf("open a file of snapshot %s: %w", m.ID, err)
	}
	return f, *known, nil
}

// OpenManifest opens the manifest of a snapshot as it lies on disk, and says how many bytes it has.
func (s *Store) OpenManifest(m *Manifest) (io.ReadCloser, int, error) {
	b, err := readBounded(filepath.Join(s.path, m.ID, ManifestName), manifestBytesMax)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(bytes.NewReader(b)), len(b), nil
}

// draft is a snapshot that is being made.
type draft struct {
	s        *Store
	sequence uint64
	previous *string
	dir      string
}

// begin makes the hidden directory of the next snapshot. Either seal or drop must follow.
func (s *Store) begin() (*draft, error) {
	d, err := s.draft()
	if err != nil {
		return nil, err
	}
	return d, noRoom(errors.Join(os.RemoveAll(d.dir), disk.MakeDir(d.dir)))
}

// draft names the next snapshot.
func (s *Store) draft() (*draft, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	last, sha256 := s.end()
	if last >= snapshotsMax {
		return nil, fmt.Errorf("snapshots have the sequences up to %d, and no more fit", last)
	}
	d := &draft{s: s, sequence: last + 1, previous: sha256}
	for s.taken(d.sequence) {
		d.sequence, d.previous = d.sequence+1, nil // The number of a damaged snapshot stays its own.
	}
	s.making = s.prefix + idOf(d.sequence)
	d.dir = filepath.Join(s.path, "."+s.making+disk.TmpSuffix)
	return d, nil
}

func (s *Store) taken(sequence uint64) bool {
	_, err := os.Lstat(filepath.Join(s.path, s.prefix+idOf(sequence)))
	return err == nil
}

// drop removes the draft, in small pieces, so that no sync of the log waits for it.
func (d *draft) drop() error {
	// Without a manifest it is never taken for complete.
	err := os.Remove(filepath.Join(d.dir, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	err = errors.Join(err, removeLeft(d.dir))
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.s.making = ""
	return err
}

// complete writes what belongs beside the files and makes everything durable: after it the draft is a snapshot but for
// its name.
func (d *draft) complete(m *Manifest) error {
	m.ID, m.Sequence, m.Previous, m.Sealed = d.s.prefix+idOf(d.sequence), d.sequence, d.previous, true
	text := sums(m.Files)
	m.SHA256 = hexSHA256(text)
	encoded, err := m.Encode()
	if err != nil {
		return err
	}
	if err := disk.WriteSynced(filepath.Join(d.dir, SumsName), text); err != nil {
		return noRoom(err)
	}
	return noRoom(disk.WriteSynced(filepath.Join(d.dir, ManifestName), encoded))
}

// seal gives the snapshot its name. If that fails, nobody knows what the disk has: a restart looks.
func (d *draft) seal(m *Manifest) error {
	s := d.s
	s.files.Lock()
	defer s.files.Unlock()
	if err := errors.Join(os.Rename(d.dir, filepath.Join(s.path, m.ID)), disk.SyncDir(s.path)); err != nil {
		return s.halt(m, "could not get its name", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.making = ""
	s.list(m)
	return nil
}

// list lists a snapshot that has its name. Newer ones may be there. s.mu is held.
func (s *Store) list(m *Manifest) {
	i, _ := s.index(m.ID)
	s.sealed = slices.Insert(slices.Clone(s.sealed), i, m)
	s.tell()
}

// tell wakes who waits for another snapshot. s.mu is held.
func (s *Store) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// whole returns why a restart must complete a snapshot, nil if none must.
func (s *Store) whole() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// halt has nothing be sealed before a restart, which completes the snapshot.
func (s *Store) halt(m *Manifest, why string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = fmt.Errorf("snapshot %s %s; restart the daemon, which completes it: %w", m.ID, why, err)
	return s.broken
}

// own notes that a Maker has the store.
func (s *Store) own() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made, s.known = true, false
}

func (s *Store) isMade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// looked notes that the owner's record is up to date.
func (s *Store) looked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = true
}

// giveUp notes that a snapshot could not be copied; isNowhere says that no node that is heard has it.
func (s *Store) giveUp(id string, isNowhere bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[id] = isNowhere
}

// awaited reports whether a snapshot is named and not here, and some node may have it; "" asks for any.
func (s *Store) awaited(r *Record, id string) bool {
	s.mu.Lock()
	isCopy, known := s.isCopy, s.known
	s.mu.Unlock()
	if !isCopy {
		return false
	}
	if !known {
		return true
	}
	for _, said := range s.lacking(r) {
		s.mu.Lock()
		isLost := s.lost[said.ID]
		s.mu.Unlock()
		if !isLost && (id == "" || said.ID == id) {
			return true
		}
	}
	return false
}

// Newest returns the sequence of the newest snapshot that is here, 0 for none.
func (s *Store) Newest() uint64 {
	if m := s.last(); m != nil {
		return m.Sequence
	}
	return 0
}
