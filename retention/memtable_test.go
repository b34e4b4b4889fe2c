package retention

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// A process that had larger memtables and was killed leaves more in one than ours take; it is opened all the same, and
// nothing is lost.
func TestLargerMemtableIsOpened(t *testing.T) {
	const rows, batch = 40_000, 2000
	path, killed := t.TempDir(), t.TempDir()
	large, err := openInstance(
		path,
		instanceSize{32 << 20, ledgerValueLogBytes, ledgerValueThresholdBytes, false},
		false,
		&instanceLog{path: path},
	)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 300) // 12 MiB in all, in the memtable
	for from := 0; from < rows; from += batch {
		txn := large.db.NewTransaction(true)
		for i := from; i < from+batch; i++ {
			if err := txn.SetEntry(badger.NewEntry(fmt.Appendf(nil, "row %d", i), value)); err != nil {
				t.Fatal(err)
			}
		}
		if err := large.commit(txn); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(killed, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	if err := large.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(killed, "LOCK")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	in, err := openInstance(killed, ledgerSize(), false, &instanceLog{path: killed})
	if err != nil {
		t.Fatal(err)
	}
	txn := in.db.NewTransaction(false)
	for i := range rows {
		if _, err := txn.Get(fmt.Appendf(nil, "row %d", i)); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	txn.Discard()
	if err := in.close(); err != nil {
		t.Fatal(err)
	}
}
