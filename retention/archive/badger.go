package archive

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"
	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// badgerOptions bound the memory of one directory. Blocks are compressed before they come here.
func badgerOptions(path string, log *logger) badger.Options {
	o := badger.DefaultOptions(path)
	o.Logger = log
	o.DetectConflicts = false
	o.NumVersionsToKeep = 1
	o.MetricsEnabled = false
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0 // It is for encrypted indexes; these are mapped.
	o.MemTableSize = memTableBytes
	o.BaseTableSize = baseTableBytes
	o.NumMemtables = 1
	o.NumCompactors = 2
	o.ValueLogFileSize = valueLogBytes
	o.VerifyValueChecksum = true
	o.ChecksumVerificationMode = options.OnBlockRead
	return o
}

// logger is Badger's. It keeps the first error: a block with a bad checksum, a sync that failed.
type logger struct {
	path  string
	warn  *slog.Logger
	first atomic.Pointer[error]
}

// Errorf keeps the first error.
func (l *logger) Errorf(format string, args ...any) {
	err := fmt.Errorf("badger in %q: %s", l.path, strings.TrimSpace(fmt.Sprintf(format, args...)))
	l.first.CompareAndSwap(nil, &err)
}

func (l *logger) err() error {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return nil
}

// Warningf tells the log.
func (l *logger) Warningf(format string, args ...any) {
	l.warn.Warn("badger warns", "path", l.path, "warning", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Infof says nothing: Badger is chatty and nobody acts on it.
func (l *logger) Infof(string, ...any) {}

// Debugf says nothing.
func (l *logger) Debugf(string, ...any) {}

// recovered calls what, and returns a panic of Badger's as an error.
func recovered(what func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger panicked: %v", r)
		}
	}()
	return what()
}

// loader fills a new Badger directory with entries in the order of their keys. Nothing goes through a memtable or a
// write-ahead log: tables are written once.
type loader struct {
	path    string
	log     *logger
	db      *badger.DB
	stream  *badger.StreamWriter
	buffer  *z.Buffer
	entries uint64
	sums    sums
}

// sums are hashes of all keys and values: of rows, of payloads, of newest rows.
type sums [3]xxh3.Hasher

// add adds an entry and returns which of them it belongs to.
func (s *sums) add(key, value []byte) int {
	which := 0
	switch key[0] {
	case spacePayloads:
		which = 1
	case spaceNewest:
		which = 2
	}
	_, _ = s[which].Write(key) // A hash takes everything.
	_, _ = s[which].Write(value)
	return which
}

// Sum tells directories apart, on all nodes: it is a hash of all keys and values of one. No two of an archive have the
// same rows.
type Sum [16]byte

// total returns the hash of all three.
func (s *sums) total() Sum {
	var all []byte
	for i := range s {
		one := s[i].Sum128().Bytes()
		all = append(all, one[:]...)
	}
	return xxh3.Hash128(all).Bytes()
}

func newLoader(path string, warn *slog.Logger) (*loader, error) {
	l := &loader{path: path, log: &logger{path: path, warn: warn}}
	err := recovered(func() (err error) {
		if l.db, err = badger.Open(badgerOptions(path, l.log)); err != nil {
			return err
		}
		l.stream = l.db.NewStreamWriter()
		return l.stream.Prepare()
	})
	if err != nil {
		return nil, fmt.Errorf("make badger directory %q: %w", path, errors.Join(err, l.abort()))
	}
	l.buffer = z.NewBuffer(loadBytes, "meterd archive")
	return l, nil
}

// put adds an entry; it keeps nothing of key and value. Entries of
// one space come in the order of their keys. expiresAt is in Unix seconds, 0 for never.
func (l *loader) put(key, value []byte, expiresAt uint64) error {
	l.entries++
	stream := uint32(1 + l.sums.add(key, value))
	badger.KVToBuffer(&pb.KV{Key: key, Value: value, Version: 1, ExpiresAt: expiresAt, StreamId: stream}, l.buffer)
	if l.buffer.LenNoPadding() < loadBytes {
		return nil
	}
	return l.write()
}

func (l *loader) write() error {
	err := recovered(func() error { return l.stream.Write(l.buffer) })
	if err == nil {
		err = l.log.err()
	}
	if err != nil {
		return fmt.Errorf("load %q: %w", l.path, err)
	}
	l.buffer.Reset()
	return nil
}

// finish completes the directory: everything in it is synced, and dropped from the page cache so that whoever reads it
// back reads the disk.
func (l *loader) finish() error {
	err := l.write()
	_ = l.buffer.Release()
	l.buffer = nil
	if err == nil {
		err = recovered(l.stream.Flush)
		l.stream = nil
	}
	if cerr := l.abort(); err == nil {
		err = cerr
	}
	if err == nil {
		err = l.log.err()
	}
	if err == nil {
		err = syncAll(l.path)
	}
	if err != nil {
		return fmt.Errorf("load %q: %w", l.path, err)
	}
	return nil
}

// abort closes what is open.
func (l *loader) abort() error {
	if l.buffer != nil {
		_ = l.buffer.Release()
		l.buffer = nil
	}
	if l.db == nil {
		return nil
	}
	db, stream := l.db, l.stream
	l.db, l.stream = nil, nil
	return recovered(func() error {
		if stream != nil {
			stream.Cancel()
		}
		return db.Close()
	})
}

// syncAll syncs every file of a directory, then the directory, and drops the files' pages.
func syncAll(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("list %q: %w", path, err)
	}
	for _, e := range entries {
		if err := syncAndDrop(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return disk.SyncDir(path)
}

func syncAndDrop(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %q to sync it: %w", path, err)
	}
	defer f.Close() // It was only read.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %q: %w", path, err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop the pages of %q: %w", path, err)
	}
	return nil
}

// bytesOf returns what the files of a directory take on the disk: one of Badger's is a megabyte of nothing.
func bytesOf(path string) (n int64, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, fmt.Errorf("list %q: %w", path, err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(path, e.Name()), &st); err != nil {
			return 0, fmt.Errorf("list %q: %w", path, err)
		}
		n += st.Blocks * 512
	}
	return n, nil
}

// openReadOnly opens a finished directory. Nobody writes to it any more.
func openReadOnly(path string, warn *slog.Logger) (*badger.DB, *logger, error) {
	log := &logger{path: path, warn: warn}
	o := badgerOptions(path, log)
	o.ReadOnly = true
	o.BypassLockGuard = true // The daemon has locked its data directory.
	if _, err := os.Stat(filepath.Join(path, "MANIFEST")); err != nil {
		return nil, nil, disk.Damage(path, "it has no manifest of Badger's: %v", err)
	}
	var db *badger.DB
	err := recovered(func() (err error) {
		db, err = badger.Open(o)
		return err
	})
	if err == nil {
		err = log.err()
	}
	if err != nil {
		if db != nil {
			_ = recovered(db.Close) // The first error is the one to tell.
		}
		return nil, nil, disk.Damage(path, "badger cannot open it: %v", err)
	}
	return db, log, nil
}

// readBack compares what is on disk with what was written.
func readBack(path string, entries uint64, want *sums, warn *slog.Logger, rest func()) error {
	db, log, err := openReadOnly(path, warn)
	if err != nil {
		return err
	}
	var n uint64
	var have sums
	err = recovered(func() error {
		txn := db.NewTransaction(false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if n++; n%restBlocks == 0 {
				rest()
			}
			key := it.Item().Key()
			if len(key) != keyBytes {
				return fmt.Errorf("an entry has the key %x", key)
			}
			err := it.Item().Value(func(v []byte) error {
				have.add(key, v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if cerr := recovered(db.Close); err == nil {
		err = cerr
	}
	if err == nil {
		err = log.err()
	}
	switch {
	case err != nil:
		return disk.Damage(path, "%v", err)
	case n != entries || have.total() != want.total():
		return disk.Damage(path, "it has %d entries that are not the %d that were written; is the clock right?", n, entries)
	}
	return nil
}
