package verify

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/ledger"
)

// copyLedger returns a copy of a ledger's directory.
func copyLedger(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "ledger")
	must(t, os.CopyFS(to, os.DirFS(filepath.Join(path, "ledger"))))
	return to
}

// TestLedgerBetweenTransactions: what the ledger has of a group before its position reaches that group is no
// difference; a row that no group has said is one.
func TestLedgerBetweenTransactions(t *testing.T) {
	d := newDaemon(t)
	d.product("p", "UTC", `{"messages_per_day":9,"ota_per_month":9}`, 30)
	ota := `{"type":"ota","product":"p","device":"d0","size":1}`
	d.submit(
		`{"type":"connect","product":"p","device":"d0"}` + "\n" +
			`{"type":"up","product":"p","device":"d0","size":1}` + "\n" + ota,
	)
	d.clock.pass(25 * time.Hour)
	d.catchUp()
	d.submit(`{"type":"up","product":"p","device":"d0","size":1}` + "\n" + ota)
	d.must(d.engine.DurableInLedger())
	d.must(d.close())
	before := copyLedger(t, d.path)
	d.open()
	d.submit(`{"type":"down","product":"p","device":"d0","size":1}` + "\n" + ota) // Of the same quarter of an hour.
	d.clock.pass(25 * time.Hour)
	d.catchUp()
	d.submit(`{"type":"down","product":"p","device":"d0","size":1}` + "\n" + ota)
	d.must(d.engine.DurableInLedger())
	d.must(d.engine.Checkpoint())
	d.must(d.close())
	clean(t, d.path)

	after, err := ledger.Open(ledger.Options{Path: filepath.Join(d.path, "ledger")})
	must(t, err)
	var rows []ledger.Entry
	for _, space := range "LEIOQTYVG" {
		must(t, after.Scan([]byte(string(space)), nil, false, func(key, value []byte) (bool, error) {
			rows = append(rows, ledger.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)})
			return true, nil
		}))
	}
	must(t, errors.Join(after.Close(), os.RemoveAll(filepath.Join(d.path, "ledger"))))
	between, err := ledger.Open(ledger.Options{Path: before})
	must(t, err)
	must(t, errors.Join(between.WritePart(rows), between.Close(), os.Rename(before, filepath.Join(d.path, "ledger"))))
	clean(t, d.path)

	first, last := func(v []byte) *byte { return &v[0] }, func(v []byte) *byte { return &v[len(v)-1] }
	for name, c := range map[string]struct {
		space byte
		row   int
		edit  func([]byte) *byte
		words []string
	}{
		"bucket":    {'Q', 1, first, []string{"product p", "2026-11-24"}},
		"newest":    {'T', 0, func(v []byte) *byte { return &v[newestBytes] }, []string{"product p", "newest totals"}},
		"upgrades":  {'O', 1, last, []string{"device d0 of product p", "2026-11-24"}},
		"ended day": {'G', 0, last, []string{"product p", "last day that has ended"}},
	} {
		t.Run(name, func(t *testing.T) {
			whole := copyLedger(t, d.path)
			n := slices.IndexFunc(rows, func(e ledger.Entry) bool { return e.Key[0] == c.space })
			rewriteLedger(t, d.path, string(rows[n+c.row].Key), func(_, value []byte) { *c.edit(value) ^= 4 })
			finds(t, d.path, c.words...)
			must(
				t,
				errors.Join(os.RemoveAll(filepath.Join(d.path, "ledger")), os.Rename(whole, filepath.Join(d.path, "ledger"))),
			)
		})
	}
}
