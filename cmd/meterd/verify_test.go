package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/meterd/meterd/retention/ledger"
)

// verify runs the recount of a data directory and demands its exit status and some words.
func verify(t testing.TB, data string, code int, words ...string) {
	t.Helper()
	r, err := launch(nil, "verify", "--data", data, "--scratch", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	<-r.exited
	said := r.stdout.String() + r.stderr.String()
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("verify exited with %d, want %d:\n%s", got, code, said)
	}
	want(t, said, words...)
}

// TestVerify: the recount of a daemon that runs, that was killed, and that was stopped; a number that was changed; and
// what cannot be verified.
func TestVerify(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", `{"messages_per_day":3}`)
	d.credit("p", "LOT", 10)
	d.batch(
		line("connect", "p", "d"),
		line("up", "p", "d"),
		line("down", "p", "d"),
		line("up", "p", "d"),
		line("up", "p", "d"),
	)
	verify(t, d.data, 0, "no difference", "as of group", "devices      1")
	d.kill()
	verify(t, d.data, 0, "no difference", "events       5,", "not recounted words, pools and totals of a checkpoint")
	d.start()
	d.stop()
	verify(t, d.data, 0, "no difference", "checkpoint   8 words")

	changed := filepath.Join(t.TempDir(), "changed")
	if err := os.CopyFS(changed, os.DirFS(d.data)); err != nil {
		t.Fatal(err)
	}
	store, err := ledger.Open(ledger.Options{Path: filepath.Join(changed, "ledger")})
	if err != nil {
		t.Fatal(err)
	}
	var row ledger.Entry
	err = store.Scan([]byte("Q"), nil, false, func(key, value []byte) (bool, error) {
		row = ledger.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value)}
		return false, nil
	})
	row.Value[0]++
	if err == nil {
		err = store.Write([]ledger.Entry{row}, store.Position())
	}
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	verify(t, changed, 1, "DIFFERENCE", "product p", "the ledger says units up 3, recounted are 2")

	verify(t, filepath.Join(t.TempDir(), "none"), 2, "no such file or directory")
	verify(t, t.TempDir(), 2, "no VERSION")
	segment := filepath.Join(changed, "log", "segment-00000000000000000001")
	log, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	log[4096+200] ^= 1
	if err := os.WriteFile(segment, log, 0o600); err != nil {
		t.Fatal(err)
	}
	verify(t, changed, 2, "damaged", segment)
}
