package archive

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// Options says where the archive lies and how long it keeps rows.
type Options struct {
	Path      string // a directory, made if it is missing; its parent is there
	Retention time.Duration
	// Room returns how many bytes the archive may write now; nil: as many as it likes. Without room a run waits.
	Room func() uint64
	// Spare reports whether so many bytes more can be written by what can wait: what is sorted for a reader. nil: always.
	Spare func(bytes uint64) bool
	// BytesMax is what all directories together may take before the oldest go early; 0: as much as they need. What is in
	// memory comes on top, and while a merge runs what it makes.
	BytesMax int64
	// EraseAfter is how long erasures gather before directories are rewritten for them, and the least time between two
	// rewritings of one; 0: EraseAfterDefault.
	EraseAfter time.Duration
	// RunAge is how old rows are when they are written although there is memory for more; 0: a twenty-fourth of a span, an
	// hour at most. The end of a span has them written, too.
	RunAge time.Duration
	// Damaged is told what is found to be damaged while the archive is open, each time: an error that wraps
	// disk.ErrDamaged. It must not wait, nor call the Store. nil: nobody is told.
	Damaged func(error)
	Logger  *slog.Logger // told about what goes wrong in the background, and what goes early; nil: nobody is

	memoryBytes int                     // for tests; 0 stands for limits.go
	blockRows   int                     // for tests; 0 stands for limits.go
	newestFrom  int                     // for tests; 0 stands for limits.go
	sortBytes   int                     // for tests; 0 stands for limits.go
	step        func(what string) error // for tests: called before each change on the disk
}

func (o *Options) fill() {
	if o.Room == nil {
		o.Room = func() uint64 { return math.MaxUint64 }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.EraseAfter == 0 {
		o.EraseAfter = EraseAfterDefault
	}
	if o.blockRows == 0 {
		o.blockRows = blockRowsMax
	}
	if o.memoryBytes == 0 {
		o.memoryBytes = memoryBytes
	}
	if o.newestFrom == 0 {
		o.newestFrom = newestFrom
	}
	if o.sortBytes == 0 {
		o.sortBytes = sortBytes
	}
	if o.Spare == nil {
		o.Spare = func(uint64) bool { return true }
	}
}

// Validate reports every fault of the options at once.
func (o *Options) Validate() error {
	var errs []error
	if o.Path == "" {
		errs = append(errs, errors.New("the archive has no path"))
	}
	if o.Retention <= 0 {
		errs = append(errs, fmt.Errorf("the log retention %s is not positive", o.Retention))
	}
	if o.BytesMax < 0 {
		errs = append(errs, fmt.Errorf("the archive may take %d bytes, which is negative", o.BytesMax))
	}
	return errors.Join(errs...)
}

// Store is an open archive. Group, Add, End, WriteRun and Skip belong to one goroutine, Tidy to one; everything else
// may be called by any.
type Store struct {
	o     Options
	codec *codec
	isNew bool

	// saving is held while the manifest is replaced; it is the outer lock.
	saving sync.Mutex

	// The gathering goroutine's.
	memory  Memory
	group   group // the one that is gathered
	product func(ordinal uint64) uint32
	rest    func()

	restTidy func() // Tidy's goroutine's

	// The goroutine's that tidies.
	counted   func() int64
	waits     bool        // more is archived than may be, and nothing may go
	removedTo int64       // as the manifest's, with what is to be removed
	copied    []directory // what Copy has made, and no manifest names yet

	follows atomic.Bool // another copy's archive is adopted

	mu       sync.Mutex
	m        *manifest // never changed, but replaced
	shown    []batch   // what of memory may be read
	shownMs  int64     // its base
	gathered mark      // behind the last group in memory
	firstMs  int64     // of the first group behind the position, 0: there is none
	dirs     map[uint64]*openDir
	removing []*openDir // no manifest names them, and they are on the disk still
	uses     uint64     // of dirs, counted
	opened   int
	number   uint64 // of the next directory
	failure  error  // no manifest can be written any more
	closed   bool
	calls    sync.WaitGroup

	sorts     atomic.Uint64 // files to sort in, counted
	erasures  *Erasures     // never changed, but replaced
	mustReach uint64        // a group that is to be archived as soon as it is gathered

	stats stats
}

// mark is what is known behind a group.
type mark struct {
	at      Position
	lastMs  int64
	ties    Ties
	logDays map[uint32]uint32 // of each product's plan; copied when it is changed
}

type stats struct {
	rows, runs, merges, removed, removedBytes, earlyRows, earlyBytes, rewritten,
	copiedBytes, adoptions atomic.Uint64
}

// Open opens or makes an archive. It removes what a crash has left that no manifest names. A directory that the
// manifest names and that is not there, or a damaged manifest, is an error that wraps disk.ErrDamaged.
func Open(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.fill()
	s := &Store{o: o, dirs: map[uint64]*openDir{}, rest: func() {}, restTidy: func() {}}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if s.codec, err = newCodec(); err != nil {
		return err
	}
	if err := disk.MakeDir(s.o.Path); err != nil {
		return err
	}
	m, err := readManifest(s.o.Path)
	if err != nil {
		return err
	}
	s.isNew = m == nil
	if m == nil {
		m = &manifest{next: 1, logDays: map[uint32]uint32{}}
	}
	if err := s.removeLeftovers(m); err != nil {
		return err
	}
	if m.keepFor(s.o.Retention.Milliseconds()) { // A new one too: from now on a missing manifest is damage.
		if err := s.writeManifest(m); err != nil {
			return err
		}
	}
	s.m, s.number = m, m.next
	s.gathered = mark{at: m.position, lastMs: m.positionMs, ties: m.ties, logDays: m.logDays}
	for i := range m.directories {
		s.dirs[m.directories[i].number] = &openDir{directory: m.directories[i]}
	}
	return nil
}

// removingSuffix marks a directory that is being removed.
const removingSuffix = ".removing"

// removeLeftovers removes directories that the manifest does not name, and proves that those are there that it does.
func (s *Store) removeLeftovers(m *manifest) error {
	entries, err := os.ReadDir(s.o.Path)
	if err != nil {
		return fmt.Errorf("list %q: %w", s.o.Path, err)
	}
	missing := map[string]bool{}
	for i := range m.directories {
		missing[m.directories[i].name()] = true
	}
	for _, e := range entries {
		name := e.Name()
		if missing[name] {
			delete(missing, name)
			continue
		}
		isOurs := strings.HasPrefix(name, "run-") || strings.HasPrefix(name, "span-") || strings.HasPrefix(name, sortPrefix)
		if !isOurs && name != manifestName+disk.TmpSuffix {
			continue
		}
		path := filepath.Join(s.o.Path, name)
		whole := !strings.HasSuffix(name, disk.TmpSuffix) && !strings.HasSuffix(name, removingSuffix)
		if s.isNew && whole {
			return disk.Damage(filepath.Join(s.o.Path, manifestName), "it is missing although there is %q", name)
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove %q, left by a crash: %w", path, err)
		}
	}
	for name := range missing {
		return disk.Damage(filepath.Join(s.o.Path, name), "it is missing although the manifest of the archive names it")
	}
	return disk.SyncDir(s.o.Path)
}

func (s *Store) step(what string) error {
	if s.o.step == nil {
		return nil
	}
	return s.o.step(what)
}

func (s *Store) writeManifest(m *manifest) error {
	if err := s.step("write the manifest"); err != nil {
		return err
	}
	if err := disk.WriteSynced(filepath.Join(s.o.Path, manifestName), m.append(nil)); err != nil {
		return err
	}
	return s.step("manifest written")
}

// update replaces the manifest by what change makes of a copy, durably, and then calls shown with mu held.
func (s *Store) update(change func(m *manifest), shown func()) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	m := s.m.clone()
	s.mu.Unlock()
	change(m)
	for i := range m.directories {
		m.next = max(m.next, m.directories[i].number+1)
	}
	if err := s.writeManifest(m); err != nil {
		// Nobody knows which of the two manifests a crash would leave, so nothing is removed or written any more.
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failure = err
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m = m
	for i := range m.directories {
		d := &m.directories[i]
		if s.dirs[d.number] == nil {
			s.dirs[d.number] = &openDir{directory: *d}
		}
	}
	shown()
	return nil
}

// newNumber returns the number of a new directory.
func (s *Store) newNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number - 1
}

// IsNew reports whether the archive was made by Open.
func (s *Store) IsNew() bool { return s.isNew }

// Position returns the last group whose rows are archived durably.
func (s *Store) Position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.position
}

// PositionMs returns when the last event of Position was decided, Unix milliseconds.
func (s *Store) PositionMs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.positionMs
}

// GatheredMs returns when the last event of Gathered was decided, Unix milliseconds.
func (s *Store) GatheredMs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gathered.lastMs
}

// Gathered returns the last group whose rows can be read, in memory or in a directory.
func (s *Store) Gathered() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gathered.at
}

// AvailableFromMs returns the instant before which events are missing whose time is not over, Unix milliseconds, 0 if
// none are: groups were skipped, directories went early, or a shorter retention has removed them.
func (s *Store) AvailableFromMs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.availableFrom
}

// Skip moves the position over groups that are gone: what the archive shows begins behind them. logDays are those of
// all products' plans.
func (s *Store) Skip(to Position, availableFromMs int64, logDays map[uint32]uint32) error {
	next := mark{at: to, lastMs: availableFromMs, logDays: logDays}
	return s.update(func(m *manifest) {
		m.position, m.positionMs, m.ties, m.logDays = to, availableFromMs, Ties{}, logDays
		m.availableFrom = availableFromMs
	}, func() {
		s.memory.reset()
		s.shown, s.gathered, s.firstMs = nil, next, 0
	})
}

// span returns the number of the span that an instant lies in.
func (s *Store) span(ms int64) int64 { return ms / s.spanMs() }

func (s *Store) spanMs() int64 { return max((s.o.Retention / spansARetention).Milliseconds(), 1000) }

// runAgeMs is when a run is written although there is memory for more.
func (s *Store) runAgeMs() int64 {
	if s.o.RunAge > 0 {
		return s.o.RunAge.Milliseconds()
	}
	age := min(max(s.o.Retention/spansARetention/runsASpan, runAgeMin), runAgeMax)
	return age.Milliseconds()
}

// keepMs returns how long a row can be read that was decided under so many log days (R18).
func (s *Store) keepMs(days uint32) int64 {
	keep := s.o.Retention
	if days > 0 {
		keep = min(keep, time.Duration(days)*24*time.Hour)
	}
	return keep.Milliseconds()
}

// isOverByRetention reports whether rows that are over, and were decided under so many log days, would not be with a
// longer retention.
func (s *Store) isOverByRetention(days uint32) bool {
	return days == 0 || time.Duration(days)*24*time.Hour > s.o.Retention
}

// IsOver reports whether a row can no longer be read, to the millisecond (R18).
func (s *Store) IsOver(r *Row, nowMs int64) bool { return nowMs-r.DecidedMs > s.keepMs(r.LogDays) }

// expiresAt returns the expiry of an entry by Badger's clock, which is the wall's: a span later than needed, since that
// clock is not the one that decides. Of one that is over already, since the daemon was stopped for long or follows
// late, it comes when its directory was read back. Unix seconds.
func (s *Store) expiresAt(lastMs int64, days uint32) uint64 {
	at := uint64((lastMs+s.keepMs(days)+2*s.spanMs())/1000) + 1
	return max(at, uint64(time.Now().Add(lateExpiry).Unix()))
}

// damaged says that a directory is, and tells it unless the machine is to blame. s.mu is not held.
func (s *Store) damaged(d *directory, err error) error {
	is := disk.Damage(filepath.Join(s.o.Path, d.name()), "%v", err)
	if s.o.Damaged != nil && !disk.IsOfMachine(err) && !errors.Is(err, ErrGone) {
		s.o.Damaged(is)
	}
	return is
}

// Close waits for the calls that go on and closes every directory. What is in memory is in the log still.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dirs {
		s.closeDir(d)
	}
	return nil
}

// without returns list without the directories of some numbers.
func without(list []directory, numbers []uint64) []directory {
	return slices.DeleteFunc(slices.Clone(list), func(d directory) bool { return slices.Contains(numbers, d.number) })
}
