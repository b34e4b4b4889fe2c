package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Maintain gives back the space of rows whose time is over at nowMs, a part of it with every call: it looks at some
// rows behind those of the last call, deletes what is over, and writes one value log file anew when most of it is
// garbage. It also proves one table, so that one that has gone bad on the disk is noticed before a compaction
// loses its rows.
//
// Call it now and then, from one goroutine; the more often, the sooner space comes back. It ends early when ctx does,
// without an error.
func (s *Store) Maintain(ctx context.Context, nowMs int64) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("maintain the ledger: %w", err)
	}
	defer s.calls.Done()
	now := expiresAt(nowMs)
	expired, next, err := s.findExpired(ctx, now)
	if err == nil {
		err = s.deleteExpired(expired, now, next)
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

// over reports whether a row's time is over.
func over(item *badger.Item, now uint64) bool {
	return item.ExpiresAt() != 0 && item.ExpiresAt() <= now
}

// findExpired returns keys of rows whose time is over, and where to look next: nil when it has come to the last row.
func (s *Store) findExpired(ctx context.Context, now uint64) (expired [][]byte, next []byte, err error) {
	err = recovered(func() error {
		txn := s.db.NewTransaction(false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		seen, keyBytes := 0, 0
		for it.Seek(s.cursor); it.Valid(); it.Next() {
			item := it.Item()
			if seen == maintainRows || keyBytes >= maintainKeyBytes || ctx.Err() != nil {
				next = item.KeyCopy(nil)
				return nil
			}
			seen++
			if over(item, now) {
				expired = append(expired, item.KeyCopy(nil))
				keyBytes += len(item.Key())
			}
		}
		return nil
	})
	return expired, next, err
}

// deleteExpired deletes those of the rows that were not written again since, and sets where Maintain goes on. Once the
// deletion is compacted with the row, Badger knows what is garbage in the value log.
func (s *Store) deleteExpired(expired [][]byte, now uint64, next []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if len(expired) > 0 {
		err := s.commit(func(txn *badger.Txn) error {
			for _, key := range expired {
				item, err := txn.Get(key)
				if err == nil && over(item, now) {
					err = txn.Delete(key)
				}
				if errors.Is(err, badger.ErrKeyNotFound) {
					continue
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
	return s.proveTable(next.ID)
}
