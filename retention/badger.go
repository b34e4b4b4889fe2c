package retention

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// instance is one open Badger directory and what it complained about.
type instance struct {
	db    *badger.DB
	log   *instanceLog
	dir   *os.File // to list and sync the names in it; nil when read-only
	names []string // of the files whose names are durable
	watch nameWatch

	// own says that transactions are synced and numbered here, as the commit log's are. Badger's numbering waits for a
	// goroutine of Badger's at every transaction, up to a millisecond when all processors are busy.
	own     bool
	syncer  syncer
	version uint64 // of the last transaction
}

// instanceSize is what differs between the commit log and the ledger.
type instanceSize struct {
	memTableBytes, valueLogBytes, valueThresholdBytes int64
	own                                               bool // syncs and numbers by itself
}

func commitSize() instanceSize {
	return instanceSize{commitMemTableBytes, commitValueLogBytes, commitValueThresholdBytes, true}
}

func ledgerSize() instanceSize {
	return instanceSize{ledgerMemTableBytes, ledgerValueLogBytes, ledgerValueThresholdBytes, false}
}

// badgerOptions are the measured ones. Every value of a value log and every block of a table is checked
// when it is read: the checksums are computed in hardware, and without them Badger parses what it finds.
func badgerOptions(path string, size instanceSize, readOnly bool, log *instanceLog) badger.Options {
	o := badger.DefaultOptions(path)
	o.ReadOnly = readOnly
	o.Logger = log
	o.SyncWrites = !size.own
	o.DetectConflicts = false
	o.NumVersionsToKeep = 1
	o.MetricsEnabled = false
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = indexCacheBytes
	o.ValueThreshold = size.valueThresholdBytes
	o.MemTableSize = size.memTableBytes
	o.NumMemtables = 2
	o.NumCompactors = 2
	o.ValueLogFileSize = size.valueLogBytes
	o.VerifyValueChecksum = true
	o.ChecksumVerificationMode = options.OnBlockRead
	return o
}

// openInstance opens a Badger directory. What Badger only logs while it opens (a table with a bad checksum is
// "ignored") is an error here, and so is a panic over damaged bytes.
func openInstance(path string, size instanceSize, readOnly bool, log *instanceLog) (in *instance, err error) {
	defer func() {
		if r := recover(); r != nil {
			in, err = nil, disk.Damage(path, "badger panicked while opening it: %v", r)
		}
	}()
	if err := checkTables(path); err != nil {
		return nil, err
	}
	if size.memTableBytes, err = memTableBytes(path, size.memTableBytes); err != nil {
		return nil, err
	}
	open := badger.Open
	if size.own {
		open = badger.OpenManaged
	}
	db, err := open(badgerOptions(path, size, readOnly, log))
	switch {
	case err != nil && outside(err):
		return nil, fmt.Errorf("open badger directory %q: %w", path, err)
	case err != nil:
		return nil, disk.Damage(path, "badger cannot open it: %v", err)
	}
	in = &instance{db: db, log: log, watch: nameWatch{-1}, own: size.own}
	if err := log.err(); err != nil {
		_ = db.Close() // The first error is the one to tell.
		return nil, disk.Damage(path, "%v", err)
	}
	if readOnly {
		return in, nil
	}
	in.watch = watchNames(path) // Before the first listing: what comes between the two is listed twice.
	in.syncer.dir, in.version = path, db.MaxVersion()
	if in.dir, err = os.Open(path); err == nil {
		err = in.syncNames()
	}
	if err != nil {
		in.release()
		_ = db.Close()
		return nil, fmt.Errorf("open badger directory %q: %w", path, err)
	}
	return in, nil
}

// memTableBytes returns what memtables must be able to take: bytes, or more if a process that had larger ones was
// killed here. Badger reads a memtable file into an arena of the size that it is told now, and panics when that is
// full. The file has twice the memtable's size.
func memTableBytes(path string, bytes int64) (int64, error) {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("list %q: %w", path, err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".mem" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return 0, fmt.Errorf("list %q: %w", path, err)
		}
		bytes = max(bytes, info.Size()/2)
	}
	return bytes, nil
}

// outside reports whether what Badger stumbled over is no damage but the machine's to mend. Badger's wrapping hides
// what errors.Is would look for.
func outside(err error) bool {
	for _, e := range []error{unix.EACCES, unix.EPERM, unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EROFS} {
		if strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// syncNames makes the names of new files durable. Badger syncs what is in a value log or memtable file, but not the
// directory that names it (v4.9.6: z.OpenMmapFileUsing asks for size 0 after it has set the size), so it is done before
// anything in the file is acknowledged. It is called when a name may have come; the sync happens when one is new.
func (in *instance) syncNames() error {
	if _, err := in.dir.Seek(0, 0); err != nil {
		return fmt.Errorf("list %q: %w", in.dir.Name(), err)
	}
	names, err := in.dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list %q: %w", in.dir.Name(), err)
	}
	slices.Sort(names)
	if slices.Equal(names, in.names) {
		return nil
	}
	if err := in.dir.Sync(); err != nil {
		return fmt.Errorf("sync %q: %w", in.dir.Name(), err)
	}
	in.names = names
	if in.own {
		if err := in.syncer.look(names); err != nil {
			return err
		}
	}
	return adviseRandom(in.dir.Name()) // New files are new mappings.
}

// begin begins a transaction that is written: for commit, by the goroutine that writes.
func (in *instance) begin() *badger.Txn {
	if in.own {
		return in.db.NewTransactionAt(math.MaxUint64, true)
	}
	return in.db.NewTransaction(true)
}

// read begins a transaction that only reads.
func (in *instance) read() *badger.Txn {
	if in.own {
		return in.db.NewTransactionAt(math.MaxUint64, false)
	}
	return in.db.NewTransaction(false)
}

// commit writes one transaction, makes it durable, and answers only for what Badger said and what it logged.
func (in *instance) commit(txn *badger.Txn) error {
	var err error
	if in.own {
		in.version++
		err = txn.CommitAt(in.version, nil)
	} else {
		err = txn.Commit()
	}
	if err != nil {
		return fmt.Errorf("write to %q: %w", in.db.Opts().Dir, err)
	}
	if err := in.log.err(); err != nil {
		return err
	}
	return in.sync()
}

// sync makes the last transaction durable as far as Badger has not, and the names of new files.
func (in *instance) sync() error {
	if in.own {
		if err := in.syncer.values(); err != nil {
			return err
		}
	}
	if in.watch.changed() {
		if err := in.syncNames(); err != nil {
			return err
		}
	}
	if in.own {
		return in.syncer.keys()
	}
	return nil
}

// release closes what belongs to a writable instance beside Badger.
func (in *instance) release() {
	in.watch.close()
	in.syncer.close()
	if in.dir != nil {
		_ = in.dir.Close() // It was only read.
	}
}

func (in *instance) close() error {
	path := in.db.Opts().Dir
	err := in.db.Close()
	if in.dir != nil {
		in.release()
	}
	if lerr := in.log.err(); lerr != nil {
		return lerr
	}
	if err != nil {
		return fmt.Errorf("close badger directory %q: %w", path, err)
	}
	return nil
}

// instanceLog is the logger of one instance. It remembers the first error for good, and once armed reports it.
type instanceLog struct {
	path string
	// reads says that who reads from the instance proves every value himself. Then a value that cannot be read costs its
	// reader an answer and nobody else anything; otherwise it is a failure like any other, since Badger only logs it and
	// returns nothing.
	reads    bool
	fatal    func(error) // called at most once, from any goroutine; may be nil
	warn     *slog.Logger
	armed    atomic.Bool
	first    atomic.Pointer[error]
	told     atomic.Bool
	warnings atomic.Uint64
}

// Errorf is how Badger says that a sync failed, a value cannot be read, a table is ignored, a memtable cannot be
// flushed.
func (l *instanceLog) Errorf(format string, args ...any) {
	err := fmt.Errorf("badger in %q: %s", l.path, strings.TrimSpace(fmt.Sprintf(format, args...)))
	// iterator.go, yieldItemValue: the value, and then every version of its key.
	if l.reads && (strings.HasPrefix(format, "Unable to read: ") || strings.HasPrefix(format, "Key: %v, Version : %v,")) {
		l.Warningf("%v", err)
		return
	}
	l.first.CompareAndSwap(nil, &err)
	l.tell()
}

func (l *instanceLog) tell() {
	if l.armed.Load() && l.fatal != nil && l.first.Load() != nil && l.told.CompareAndSwap(false, true) {
		l.fatal(*l.first.Load())
	}
}

// arm begins to report: from now on an error is nobody else's to find.
func (l *instanceLog) arm() {
	l.armed.Store(true)
	l.tell()
}

// forget drops what was logged about a torn tail that has been cut off since.
func (l *instanceLog) forget() { l.first.Store(nil) }

func (l *instanceLog) err() error {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return nil
}

// Warningf tells the first warning and then every power of two: a compaction that fails is tried again twenty times a
// second.
func (l *instanceLog) Warningf(format string, args ...any) {
	if n := l.warnings.Add(1); n&(n-1) == 0 && l.warn != nil {
		l.warn.Warn("badger warns", "path", l.path, "warning", strings.TrimSpace(fmt.Sprintf(format, args...)), "count", n)
	}
}

// Infof says nothing: Badger is chatty and nobody acts on it.
func (l *instanceLog) Infof(string, ...any) {}

// Debugf says nothing.
func (l *instanceLog) Debugf(string, ...any) {}

// discard is the logger of those who give none.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
