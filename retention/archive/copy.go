package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// Source is the archive of another copy of the same log.
type Source interface {
	// Manifest returns what Store.Manifest returned there, nothing if there is nobody to ask just now.
	Manifest(ctx context.Context) ([]byte, error)
	// Directory reads what Store.Send writes there. What is read is not trusted, nor is its end.
	Directory(ctx context.Context, sum Sum) (io.ReadCloser, error)
}

// Copying is how Copy works.
type Copying struct {
	NowMs int64 // the time that meterd decides by (R12), Unix milliseconds
	// Until is when no further directory is begun any more; zero: all are copied. One is at least.
	Until time.Time
	// Fits reports whether the log has a position's group, and that with this chain; what the log lacks is no error.
	Fits func(Position) (bool, error)
	// Rest is called with how many bytes were copied, or read back to prove them. Its error ends Copy.
	Rest func(bytes int64) error
}

// Adoption is an archive that was copied, ready to take the place of this one.
type Adoption struct{ m *manifest } // the other's, but for the directories' numbers

// SetFollows says whether another copy's archive is adopted. Then this one merges and rewrites later than an archive
// does by itself: only what nobody else has done. Any goroutine may call it.
func (s *Store) SetFollows(does bool) { s.follows.Store(does) }

// Copy copies what another archive has and this one lacks, and proves it. It changes nothing of what can be read:
// Adopt does. It returns nil if there is nothing to adopt: the other one is behind, or equal, or the log does not reach
// that far; or Copying.Until was over before all of it was here. It belongs to Tidy's goroutine. What was
// copied before that, or before an error, is used by the next call, if it is adopted then.
func (s *Store) Copy(ctx context.Context, from Source, o *Copying) (*Adoption, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	b, err := from.Manifest(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(b) == 0 {
		return nil, nil
	}
	m, err := decodeManifest(b)
	if err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	own, _ := s.erasing()
	if fits, err := s.canAdopt(own, m, o); !fits || err != nil {
		return nil, errors.Join(err, s.dropCopied(nil)) // It may have what is erased, and nothing here would erase it.
	}
	lacks, isNew := s.match(own, m, o.NowMs)
	if !isNew {
		return nil, nil
	}
	if err := s.dropCopied(m); err != nil {
		return nil, err
	}
	begun := 0
	for _, i := range lacks {
		d := &m.directories[i]
		if s.wasReceived(d) {
			continue
		}
		if begun++; begun > 1 && !o.Until.IsZero() && time.Now().After(o.Until) {
			return nil, nil
		}
		if err := s.receive(ctx, from, d, o); err != nil {
			return nil, fmt.Errorf("copy a directory of %d rows: %w", d.rows, err)
		}
	}
	return &Adoption{m}, nil
}

// canAdopt reports whether another archive may take the place of this one. It is an error if it may not for long.
func (s *Store) canAdopt(own, m *manifest, o *Copying) (bool, error) {
	switch {
	case m.position.Seq < own.position.Seq || m.position.Seq == 0:
		return false, nil
	case m.retentionMs != own.retentionMs:
		return false, fmt.Errorf("it keeps events for %d ms, and not for %d ms as this one", m.retentionMs, own.retentionMs)
	}
	_, e := s.erasing()
	lateMs := o.NowMs - s.eraseLateMs()
	for i := range m.directories {
		d := &m.directories[i]
		if d.sum == (Sum{}) {
			return false, errors.New("it has directories of an older version, which are proved by nothing")
		}
		if concerned := e.behind(d.erased, d.firstMs); len(concerned) > 0 && own.find(d) == nil &&
			s.isEraseDue(oldestMs(concerned), d.rewrittenMs, lateMs) {
			return false, errors.New("it has what is erased, and should be off the disk by now")
		}
	}
	// A smaller bound of bytes elsewhere takes nothing from an archive that has none.
	for i := range own.directories {
		d := &own.directories[i]
		if s.o.BytesMax == 0 && d.firstMs < m.availableFrom && !s.isDead(d, o.NowMs) &&
			m.find(d) == nil {
			return false, errors.New("it lacks events that are here")
		}
	}
	return o.Fits(m.position)
}

// find returns the directory that is a copy of another one, nil if there is none. A run that was merged alone becomes a
// span of the same content, under another name.
func (m *manifest) find(d *directory) *directory {
	for i := range m.directories {
		if x := &m.directories[i]; x.sum == d.sum && x.level == d.level {
			return x
		}
	}
	return nil
}

// match leaves in m what is to be adopted, each directory that is here under its own number here. It returns which of
// them are not here, and whether adopting m changes anything.
func (s *Store) match(own, m *manifest, nowMs int64) (lacks []int, isNew bool) {
	m.directories = slices.DeleteFunc(m.directories, func(d directory) bool {
		return s.isDead(&d, nowMs) || d.lastMs < own.availableFrom
	})
	isNew = m.position != own.position || len(m.directories) != len(own.directories)
	for i := range m.directories {
		d := &m.directories[i]
		o := own.find(d)
		if o == nil {
			d.number = 0
			lacks, isNew = append(lacks, i), true
			continue
		}
		isNew = isNew || d.erased > o.erased
		d.number, d.bytes, d.erased = o.number, o.bytes, max(d.erased, o.erased)
	}
	return lacks, isNew
}

// dropCopied removes what was copied and is not to be adopted any more: all of it without m.
func (s *Store) dropCopied(m *manifest) error {
	for i := 0; i < len(s.copied); {
		if m != nil {
			if x := m.find(&s.copied[i]); x != nil && x.number == 0 {
				i++
				continue
			}
		}
		if err := s.remove(&openDir{directory: s.copied[i]}); err != nil {
			return err
		}
		s.copied = slices.Delete(s.copied, i, i+1)
	}
	return nil
}

// wasReceived gives a directory its number here if a Copy before has copied it.
func (s *Store) wasReceived(d *directory) bool {
	for _, done := range s.copied {
		if done.sum == d.sum && done.level == d.level {
			d.number, d.bytes = done.number, done.bytes
			return true
		}
	}
	return false
}

// receive copies one directory, and gives it its number here.
func (s *Store) receive(ctx context.Context, from Source, d *directory, o *Copying) error {
	d.bytes = max(0, d.bytes)
	if err := s.needs(uint64(d.bytes)); err != nil {
		return err
	}
	d.number = s.newNumber()
	path := filepath.Join(s.o.Path, d.name())
	tmp := path + disk.TmpSuffix
	if err := s.step("copy " + d.name()); err != nil {
		return err
	}
	err := s.receiveTo(ctx, tmp, from, d, o)
	if err == nil {
		err = s.step("rename " + d.name())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = disk.SyncDir(s.o.Path)
	}
	if err != nil {
		if serr := s.step("give up " + d.name()); serr != nil {
			return err
		}
		return errors.Join(err, os.RemoveAll(tmp))
	}
	s.copied = append(s.copied, *d)
	s.stats.copiedBytes.Add(uint64(d.bytes))
	return nil
}

// receiveTo makes a directory durable at path and proves it, past the page cache.
func (s *Store) receiveTo(ctx context.Context, path string, from Source, d *directory, o *Copying) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	body, err := from.Directory(ctx, d.sum)
	if err != nil {
		return err
	}
	// What takes more than there must be room for is something else.
	err = receiveFiles(path, &restingReader{body, o.Rest}, d.bytes+d.bytes/spacePart+spaceMin)
	if err = errors.Join(err, body.Close()); err != nil {
		return err
	}
	if err := syncAll(path); err != nil {
		return err
	}
	bad, err := proveAt(path, d, o.Rest)
	if err = errors.Join(bad, err); err != nil {
		return err
	}
	d.bytes, err = bytesOf(path)
	return err
}

// restingReader rests behind what it has read.
type restingReader struct {
	r    io.Reader
	rest func(bytes int64) error
}

func (r *restingReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err == nil {
		err = r.rest(int64(n))
	}
	return n, err
}

// Adopt has the archive be what Copy has prepared: position and directories are the other's from now on, and what was
// gathered in memory is let go of. Nobody gathers or tidies meanwhile. The next Tidy removes what was here and is not
// the other's. It reports false if the archive has moved on too far by itself.
func (s *Store) Adopt(a *Adoption) (bool, error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	defer s.calls.Done()
	if a.m.position.Seq < s.Position().Seq {
		return false, nil
	}
	next := mark{at: a.m.position, lastMs: a.m.positionMs, ties: a.m.ties, logDays: a.m.logDays}
	kept := map[uint64]bool{}
	for i := range a.m.directories {
		kept[a.m.directories[i].number] = true
	}
	err := s.update(func(m *manifest) {
		m.position, m.positionMs, m.ties, m.logDays = next.at, next.lastMs, next.ties, next.logDays
		m.directories = a.m.directories
		m.availableFrom = max(m.availableFrom, a.m.availableFrom)
		s.removedTo = max(s.removedTo, a.m.removedTo)
		m.removedTo = max(m.removedTo, s.removedTo)
	}, func() {
		for number, d := range s.dirs {
			if !kept[number] {
				d.gone = true
				s.removing = append(s.removing, d)
				delete(s.dirs, number)
			}
		}
		s.memory.reset()
		s.shown, s.gathered, s.firstMs = nil, next, 0
	})
	if err != nil {
		return false, err
	}
	s.copied = nil
	s.stats.adoptions.Add(1)
	return true, nil
}

// Awaits reports whether the log waits for the archive to let go of what was erased (MustReach).
func (s *Store) Awaits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.position.Seq < s.mustReach
}
