package ledger

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/meterd/meterd/retention/disk"
)

// Prove proves every table that there is now. It calls rest with the size of each, and ends when that returns an error,
// which it returns. A store with a damaged table has failed: a compaction would lose rows of it without a word, and so
// does a scan.
func (s *Store) Prove(rest func(bytes int64) error) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("prove the ledger: %w", err)
	}
	defer s.calls.Done()
	return s.proveTables(rest)
}

// Prove is Prove of Store: Scan reads past a block that is damaged.
func (i *Instant) Prove(rest func(bytes int64) error) error {
	if err := i.begin(); err != nil {
		return fmt.Errorf("prove the ledger: %w", err)
	}
	defer i.done()
	return i.s.proveTables(rest)
}

func (s *Store) proveTables(rest func(bytes int64) error) error {
	for _, t := range s.db.Tables() {
		err := s.proveTable(t.ID)
		if errors.Is(err, disk.ErrDamaged) {
			return fmt.Errorf("prove the ledger %q: %w", s.path, s.fail(err))
		}
		if err != nil {
			return fmt.Errorf("prove the ledger %q: %w", s.path, err)
		}
		if err := rest(int64(t.OnDiskSize)); err != nil {
			return err
		}
	}
	return nil
}

// proveTable proves a table, unless it was compacted meanwhile.
func (s *Store) proveTable(id uint64) error {
	path := table.NewFilename(id, s.path)
	err := checkTable(path)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Badger forgets a table before it removes the file.
	if slices.ContainsFunc(s.db.Tables(), func(t badger.TableInfo) bool { return t.ID == id }) {
		return disk.Damage(path, "it is missing")
	}
	return nil
}
