package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// Maintain gives back the space of rows whose time is over, a part of it with every call: it looks at some rows behind
// those of the last call, deletes what has expired, and writes one value log file anew when most of it is garbage.
// Badger alone drops an expired row only when a compaction happens to read it, which may be never. It also proves one
// table, so that one that has gone bad on the disk is noticed before a compaction loses its rows.
//
// Call it now and then, from one goroutine; the more often, the sooner space comes back. It ends early when ctx does,
// without an error.
func (s *Store) Maintain(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("maintain the ledger: %w", err)
	}
	defer s.calls.Done()
	expired, next, err := s.findExpired(ctx)
	if err == nil {
		err = s.deleteExpired(expired, next)
	}
	if err == nil && ctx.Err() == nil {
		err = s.rewriteValueLog()
	}
	if err == nil && ctx.Err() == nil {
		err = s.proveNextTable()
	}
	if err == nil {
		err = s.log.err()
	}
	if err != nil {
		return fmt.Errorf("maintain the ledger %q: %w", s.path, s.fail(err))
	}
	return nil
}

// findExpired returns keys of rows whose time is over, and where to look next: nil when it has come to the last row.
func (s *Store) findExpired(ctx context.Context) (expired [][]byte, next []byte, err error) {
	now := uint64(time.Now().Unix())
	err = recovered(func() error {
		txn := s.db.NewTransaction(false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{AllVersions: true}) // Otherwise expired ones are passed over.
		defer it.Close()
		var last []byte
		seen, keyBytes := 0, 0
		for it.Seek(s.cursor); it.Valid(); it.Next() {
			item := it.Item()
			if string(item.Key()) == string(last) {
				continue // An older version.
			}
			if seen == maintainRows || keyBytes >= maintainKeyBytes || ctx.Err() != nil {
				next = item.KeyCopy(nil)
				return nil
			}
			last = item.KeyCopy(last)
			seen++
			if at := item.ExpiresAt(); at != 0 && at <= now {
				expired = append(expired, item.KeyCopy(nil))
				keyBytes += len(last)
			}
		}
		return nil
	})
	return expired, next, err
}

// deleteExpired deletes those of the rows that were not written again since, and sets where Maintain goes on. Once the
// deletion is compacted with the row, Badger knows what is garbage in the value log.
func (s *Store) deleteExpired(expired [][]byte, next []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if len(expired) > 0 {
		err := s.commit(func(txn *badger.Txn) error {
			for _, key := range expired {
				_, err := txn.Get(key)
				if errors.Is(err, badger.ErrKeyNotFound) {
					err = txn.Delete(key)
				}
				if errors.Is(err, badger.ErrTxnTooBig) {
					next = key
					return nil
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.cursor = next
	return nil
}

// rewriteValueLog writes what is left of one value log file anew, if most of it is garbage, and removes it.
func (s *Store) rewriteValueLog() error {
	err := recovered(func() error { return s.db.RunValueLogGC(rewriteRatio) })
	if errors.Is(err, badger.ErrNoRewrite) {
		return nil
	}
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.names.sync()
}

// proveNextTable checks the table after the one of the last call.
func (s *Store) proveNextTable() error {
	tables := s.db.Tables()
	if len(tables) == 0 {
		return nil
	}
	next := slices.MinFunc(tables, func(a, b badger.TableInfo) int {
		return cmp.Compare(a.ID-s.proven-1, b.ID-s.proven-1) // Those up to the last one come last: they wrap around.
	})
	s.proven = next.ID
	err := checkTable(table.NewFilename(next.ID, s.path))
	if errors.Is(err, os.ErrNotExist) {
		return nil // It was compacted.
	}
	return err
}
