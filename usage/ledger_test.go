package usage

import (
	"path/filepath"
	"testing"

	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/views"
)

// A ledger that skipped groups says where it begins, also after it was opened again.
func TestLedgerSaysWhereItBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	begins := func(skip bool) (fromMs int64) {
		t.Helper()
		store, err := ledger.Open(ledger.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		l := New(Options{Store: store})
		defer l.Close()
		if skip {
			if err := l.Skip(views.Position{Seq: 7, Chain: [16]byte{7}}, 1_790_000_000_123); err != nil {
				t.Fatal(err)
			}
		}
		var gapped views.Gapped = l
		if fromMs, err = gapped.AvailableFromMs(); err != nil {
			t.Fatal(err)
		}
		return fromMs
	}
	for i, want := range []int64{0, 1_790_000_000_123, 1_790_000_000_123} {
		if got := begins(i == 1); got != want {
			t.Errorf("start %d: it begins at %d, want %d", i, got, want)
		}
	}
}
