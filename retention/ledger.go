package retention

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
)

// LedgerOptions says where the ledger lies.
type LedgerOptions struct {
	Path   string       // made if it is missing
	Fatal  func(error)  // as in LogOptions
	Logger *slog.Logger // as in LogOptions
}

// Validate reports every fault of the options at once.
func (o LedgerOptions) Validate() error {
	if o.Path == "" {
		return errors.New("the ledger has no path")
	}
	return nil
}

// Entry is one row of the ledger. A key is 1 to LedgerKeyBytesMax bytes and begins neither with a zero byte nor with
// "!badger!"; whoever writes a row owns its namespace.
type Entry struct {
	Key, Value []byte
	// Keep is how long the row is readable, in whole seconds; then it is gone, and its space with the next compaction. 0
	// keeps it for ever.
	Keep time.Duration
}

// ErrTooLarge is returned by Write, before anything was written, for more than one transaction takes.
var ErrTooLarge = errors.New("too large for one transaction")

// Ledger is an ordered map on disk for what must outlive the log. Its methods are safe for concurrent use.
type Ledger struct {
	path string
	in   *instance

	mu      sync.Mutex // of writing
	mark    *mark
	count   uint64 // transactions written, ever
	failure error
}

// The ledger counts its transactions in a row of its own, so that a tail that was lost is seen: with the mark as in the
// log.
const (
	countKey   = "\x00count"
	cleanTitle = "ledger closed"
	cleanName  = "CLEAN"
)

// OpenLedger opens or makes the ledger and proves that it reaches its mark.
func OpenLedger(o LedgerOptions) (*Ledger, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = discard()
	}
	if err := disk.MakeDir(o.Path); err != nil {
		return nil, err
	}
	l := &Ledger{path: o.Path}
	if err := l.open(&o); err != nil {
		if l.mark != nil {
			l.mark.f.Close()
		}
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.in.log.arm()
	return l, nil
}

func (l *Ledger) open(o *LedgerOptions) error {
	if err := l.openMark(o.Logger); err != nil {
		return err
	}
	clean, closedAt, err := l.readClean()
	if err != nil {
		return err
	}
	if clean && closedAt < l.mark.seq {
		return disk.Damage(l.path, "it was closed after %d transactions, but %d were acknowledged", closedAt, l.mark.seq)
	}
	pre := preflight{dir: l.path, need: l.mark.seq, clean: clean, seqOf: countOf}
	if err := pre.run(); err != nil {
		return err
	}
	if clean {
		if err := os.Remove(filepath.Join(l.path, cleanName)); err != nil {
			return fmt.Errorf("remove %q: %w", filepath.Join(l.path, cleanName), err)
		}
		if err := disk.SyncDir(l.path); err != nil {
			return err
		}
	}
	log := &instanceLog{path: l.path, warn: o.Logger, fatal: func(err error) {
		l.fail(err)
		if o.Fatal != nil {
			o.Fatal(err)
		}
	}}
	if l.in, err = openInstance(l.path, ledgerSize(), false, log); err != nil {
		return err
	}
	if err = l.readCount(); err == nil && clean && l.count != closedAt {
		err = disk.Damage(l.path, "it has %d transactions, but was closed with %d", l.count, closedAt)
	}
	if err == nil && l.count != l.mark.seq {
		err = l.mark.set(l.count) // It lost its last writes, or a kill came before them.
	}
	if err != nil {
		_ = l.in.close() // The first error is the one to tell.
	}
	return err
}

// openMark opens the mark, or makes it for a ledger that is new.
func (l *Ledger) openMark(logger *slog.Logger) (err error) {
	l.mark, err = openMark(l.path, logger)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(l.path)
	if err != nil {
		return fmt.Errorf("list %q: %w", l.path, err)
	}
	for _, e := range entries {
		if e.Name() != "MARK"+disk.TmpSuffix { // The mark is the first file of a ledger.
			return disk.Damage(markPath(l.path), "it is missing, so nobody knows how far the ledger went")
		}
	}
	l.mark, err = createMark(l.path)
	return err
}

func (l *Ledger) readClean() (clean bool, count uint64, err error) {
	path := filepath.Join(l.path, cleanName)
	fields, err := disk.ReadSealed(path, cleanTitle)
	if errors.Is(err, os.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	if count, err = strconv.ParseUint(fields["count"], 10, 64); err != nil {
		return false, 0, disk.Damage(path, "count %q is no number", fields["count"])
	}
	return true, count, nil
}

func countOf(e *walkEntry) (uint64, bool) {
	if string(e.key) != countKey || len(e.value) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(e.value), true
}

func (l *Ledger) readCount() error {
	value, found, err := l.get([]byte(countKey))
	if err != nil {
		return err
	}
	if found && len(value) == 8 {
		l.count = binary.BigEndian.Uint64(value)
	}
	if l.count < l.mark.seq {
		return disk.Damage(l.path, "it ends with transaction %d, but %d was acknowledged", l.count, l.mark.seq)
	}
	return nil
}

// fail makes every later write fail.
func (l *Ledger) fail(err error) {
	// Badger may report from within a commit, which holds l.mu; the commit itself looks at what was logged.
	if l.mu.TryLock() {
		defer l.mu.Unlock()
		if l.failure == nil {
			l.failure = err
		}
	}
}

// Get returns a copy of the value of a key.
func (l *Ledger) Get(key []byte) (value []byte, found bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	return l.get(key)
}

func (l *Ledger) get(key []byte) (value []byte, found bool, err error) {
	txn := l.in.read()
	defer txn.Discard()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err == nil {
		value, err = item.ValueCopy(nil)
	}
	if err == nil {
		err = l.in.log.err() // A value that cannot be read comes as nothing, without an error.
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the ledger %q: %w", l.path, err)
	}
	return value, true, nil
}

// Close closes the ledger. After a failure it does not: the next start recovers what was acknowledged.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	failure := l.failed()
	if errors.Is(failure, errLedgerClosed) {
		return nil
	}
	l.failure = errLedgerClosed
	if failure != nil {
		return failure
	}
	if err := l.in.close(); err != nil {
		return err
	}
	fields := [][2]string{{"count", strconv.FormatUint(l.count, 10)}}
	err := disk.WriteSynced(filepath.Join(l.path, cleanName), disk.EncodeSealed(cleanTitle, fields))
	return errors.Join(err, l.mark.close())
}

var errLedgerClosed = errors.New("the ledger is closed")
