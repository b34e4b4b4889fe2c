package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bed is a data directory with a log, a checkpoint, rows, an archive without rows and a snapshot, as a daemon has it.
type bed struct {
	t        testing.TB
	s        Source
	log      *commitlog.Log
	ledger   *ledger.Store
	webhooks *ledger.Store
	low      bool
	held     int // snapshots that are held
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{t: t}
	dir, err := disk.OpenDir(disk.DirOptions{Path: filepath.Join(t.TempDir(), "data"), Region: "eu"})
	must(t, err)
	b.log, err = commitlog.Open(commitlog.Options{
		Path: dir.LogPath(), SegmentBytes: commitlog.SegmentBytesMin, Retention: time.Hour, Archived: true,
	})
	must(t, err)
	b.ledger, err = ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	must(t, err)
	b.webhooks, err = ledger.Open(ledger.Options{Path: dir.WebhooksPath()})
	must(t, err)
	store, err := archive.Open(archive.Options{Path: dir.ArchivePath(), Retention: time.Hour})
	must(t, err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	must(t, err)
	instant := func(s *ledger.Store) func(context.Context) (*ledger.Instant, error) {
		return func(context.Context) (*ledger.Instant, error) { return s.OpenInstant() }
	}
	b.s = Source{
		Dir: dir, Log: b.log, Checkpoints: checkpoints, Archive: store, Ledger: instant(b.ledger),
		Webhooks: instant(b.webhooks), Low: func() bool { return b.low }, Version: "test", Seed: dir.HashSeed(),
		Snapshots: func(_ context.Context, fn func() error) (func(), error) {
			b.held++
			return func() { b.held-- }, fn()
		},
	}
	t.Cleanup(func() {
		must(t, errors.Join(b.log.Close(), b.ledger.Close(), b.webhooks.Close(), store.Close(), dir.Close()))
	})
	b.groups(50)
	w, err := checkpoints.Create(20)
	must(t, err)
	must(t, w.Section(7, []byte("state")))
	must(t, w.Commit(30))
	sealed := filepath.Join(dir.SnapshotsPath(), "s00000001")
	must(t, os.Mkdir(sealed, 0o700))
	must(t, os.WriteFile(filepath.Join(sealed, "devices.csv"), []byte("sealed"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir.SnapshotsPath(), "POSITIONS"), []byte("1\n"), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir.SnapshotsPath(), ".s00000002.tmp"), 0o700))
	return b
}

// groups appends groups, and rows that are of them.
func (b *bed) groups(n int) {
	b.t.Helper()
	for range n {
		last, _, _ := b.log.Last()
		g := &commitlog.Group{
			Seq: last + 1, FirstMs: int64(last), LastMs: int64(last), Head: []byte("head"),
			Chunks: [][]byte{bytes.Repeat([]byte{byte(last)}, 3000)},
		}
		must(b.t, b.log.Append(g))
		at := ledger.Position{Seq: g.Seq, Chain: g.Chain}
		must(b.t, b.ledger.Write([]ledger.Entry{{Key: fmt.Appendf(nil, "l%08d", g.Seq), Value: []byte("row")}}, at))
		must(b.t, b.webhooks.Write(nil, at))
	}
}

// stream returns a copy as it is sent, and what it is.
func (b *bed) stream() ([]byte, *Manifest) {
	b.t.Helper()
	c, err := Open(b.t.Context(), &b.s)
	must(b.t, err)
	var out bytes.Buffer
	m, err := c.Write(b.t.Context(), &out)
	must(b.t, errors.Join(err, c.Close()))
	return out.Bytes(), m
}

// check compares a data directory with what the copy must have.
func (b *bed) check(path string, m *Manifest) {
	b.t.Helper()
	dir, err := disk.ReadDir(path)
	must(b.t, err)
	defer dir.Close()
	if dir.Region() != "eu" || dir.HashSeed() != b.s.Dir.HashSeed() {
		b.t.Errorf("it is of region %q, or has another seed", dir.Region())
	}
	log, err := commitlog.OpenReadOnly(dir.LogPath())
	must(b.t, err)
	defer log.Close()
	last, _, chain := log.Last()
	if last != m.Group || fmt.Sprintf("%x", chain) != m.Chain {
		b.t.Errorf("the log ends with group %d, want %d", last, m.Group)
	}
	must(b.t, log.Replay(1, func(*commitlog.Group) error { return nil }))
	rows, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	must(b.t, err)
	n := uint64(0)
	must(b.t, rows.Scan(nil, nil, false, func([]byte, []byte) (bool, error) { n++; return true, nil }))
	if at := rows.Position(); n != m.Ledger.Group || at.Seq != m.Ledger.Group {
		b.t.Errorf("the ledger has %d rows and ends with group %d, want %d", n, at.Seq, m.Ledger.Group)
	}
	must(b.t, rows.Close())
	checkpoint, err := dir.ReadCheckpoint("")
	must(b.t, err)
	if checkpoint == nil || checkpoint.B() != 20 || checkpoint.E() != 30 {
		b.t.Fatalf("the checkpoint is %v", checkpoint)
	}
	must(b.t, checkpoint.Close())
	sealed, err := filesOf(dir.SnapshotsPath())
	must(b.t, err)
	if slices.Sort(sealed); !slices.Equal(sealed, []string{"POSITIONS", "s00000001/devices.csv"}) {
		b.t.Errorf("the snapshots are %q", sealed)
	}
}

// left returns the names below a directory.
func left(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." {
			names = append(names, name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(t, err)
	return names
}

// failing is a Place that takes so many bytes and then none, as a full disk.
type failing struct {
	directory
	bytes int64
}

var errFull = errors.New("no space left on device")

func (f *failing) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if f.bytes -= size; f.bytes < 0 {
		return f.directory.Put(ctx, name, io.MultiReader(io.LimitReader(r, size/2), errReader{}), size)
	}
	return f.directory.Put(ctx, name, r, size)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errFull }
