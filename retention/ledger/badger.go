package ledger

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/meterd/meterd/retention/disk"
)

// size is what tests make smaller.
type size struct{ memTableBytes, valueLogBytes int64 }

func (s size) fill() size {
	if s.memTableBytes == 0 {
		s.memTableBytes = memTableBytes
	}
	if s.valueLogBytes == 0 {
		s.valueLogBytes = valueLogBytes
	}
	return s
}

// badgerOptions: every transaction is synced, and every value of the value log and every block of a table is checked
// when it is read. The checksums are computed in hardware, and without them Badger parses what it finds.
func badgerOptions(path string, size size, log *logger) badger.Options {
	o := badger.DefaultOptions(path)
	o.Logger = log
	o.SyncWrites = true
	o.DetectConflicts = false
	o.NumVersionsToKeep = 1
	o.MetricsEnabled = false
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = indexCacheBytes
	o.ValueThreshold = valueThresholdBytes
	o.MemTableSize = size.memTableBytes
	o.NumMemtables = 2
	o.NumCompactors = 2
	o.ValueLogFileSize = size.valueLogBytes
	o.VerifyValueChecksum = true
	o.ChecksumVerificationMode = options.OnBlockRead
	return o
}

// openBadger opens the directory. What Badger only logs while it opens (a table with a bad checksum is "ignored") is an
// error, and so is a panic.
func openBadger(path string, size size, log *logger) (*badger.DB, error) {
	var db *badger.DB
	err := recovered(func() (err error) {
		db, err = badger.Open(badgerOptions(path, size, log))
		return err
	})
	switch {
	case err != nil && isOfMachine(err):
		return nil, fmt.Errorf("open badger directory %q: %w", path, err)
	case err != nil:
		return nil, disk.Damage(path, "badger cannot open it: %v", err)
	}
	if err := log.err(); err != nil {
		_ = closeBadger(db) // The first error is the one to tell.
		return nil, disk.Damage(path, "%v", err)
	}
	return db, nil
}

func closeBadger(db *badger.DB) error { return recovered(db.Close) }

// recovered calls what, and returns a panic of Badger's as an error. It is put around Badger's calls alone, so that a
// panic of the caller's own is not taken for one.
func recovered(what func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger panicked: %v", r)
		}
	}()
	return what()
}

// isOfMachine reports whether what Badger stumbled over is no damage but the machine's to mend.
func isOfMachine(err error) bool {
	return disk.IsOfMachine(err) || strings.Contains(err.Error(), "Cannot acquire directory lock")
}

// names makes the names of new files durable. Badger syncs what is in a value log or memtable file, but not the
// directory that names it (v4.9.6: z.OpenMmapFileUsing asks for size 0 after it has set the size), so it is done here
// before anything in the file is acknowledged.
type names struct {
	dir   *os.File
	known []string // durable
}

func openNames(path string) (n names, err error) {
	if n.dir, err = os.Open(path); err != nil {
		return n, fmt.Errorf("list the ledger: %w", err)
	}
	return n, nil
}

// sync looks at the directory, and syncs it when there is another name in it. When there is none it takes some 20 µs,
// beside a transaction's sync of some hundred.
func (n *names) sync() error {
	now, err := n.list()
	if err != nil {
		return fmt.Errorf("list %q: %w", n.dir.Name(), err)
	}
	if slices.Equal(now, n.known) {
		return nil
	}
	if err := n.dir.Sync(); err != nil {
		return fmt.Errorf("sync %q: %w", n.dir.Name(), err)
	}
	n.known = now
	return nil
}

func (n *names) list() ([]string, error) {
	if _, err := n.dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	now, err := n.dir.Readdirnames(-1)
	slices.Sort(now)
	return now, err
}

func (n *names) close() { _ = n.dir.Close() } // It was only read.

// newestValueLog returns the number of the value log file that the next transaction writes to.
func (n *names) newestValueLog() (newest uint32) {
	for _, name := range n.known {
		if number, ok := numberOf(name, ".vlog"); ok {
			newest = max(newest, number)
		}
	}
	return newest
}
