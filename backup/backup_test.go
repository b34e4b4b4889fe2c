package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/meterd/meterd/bench/powercut"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
)

func TestMain(m *testing.M) {
	if powercut.IsServer() {
		os.Exit(powercut.Main())
	}
	os.Exit(m.Run())
}

// TestBackup copies to a directory and to S3, restores, and sends straight to another directory: each is the data
// directory as of the cut, whatever came later.
func TestBackup(t *testing.T) {
	b := newBed(t)
	c, err := Open(t.Context(), &b.s)
	must(t, err)
	b.groups(40)
	must(t, b.log.Release(1, 90))
	if b.held != 1 || b.log.First() != 1 {
		t.Fatalf("%d snapshots are held, the log begins with group %d", b.held, b.log.First())
	}
	var sent bytes.Buffer
	m, err := c.Write(t.Context(), &sent)
	must(t, errors.Join(err, c.Close()))
	if m.Group != 50 || m.Ledger.Group != 50 || m.Region != "eu" || b.held != 0 {
		t.Fatalf("the copy is %+v, and %d are held", m, b.held)
	}
	must(t, b.log.Release(1, 90))
	if b.log.First() == 1 {
		t.Error("the log is held by a copy that is closed")
	}

	direct := filepath.Join(t.TempDir(), "direct")
	to, err := NewDirectory(direct)
	must(t, err)
	_, err = Receive(t.Context(), bytes.NewReader(sent.Bytes()), to)
	must(t, err)
	b.check(direct, m)

	env := newS3(t)
	for _, place := range []string{filepath.Join(t.TempDir(), "place"), "s3://backups/a/b"} {
		p, err := ParsePlace(place, env)
		must(t, err)
		if first, err := p.First(t.Context()); first != "" || err != nil {
			t.Fatalf("%s has %q, %v", place, first, err)
		}
		_, err = Receive(t.Context(), bytes.NewReader(sent.Bytes()), p)
		must(t, err)
		if first, err := p.First(t.Context()); first == "" || err != nil {
			t.Errorf("%s is empty, %v", place, err)
		}
		restored := filepath.Join(t.TempDir(), "restored")
		again, err := Restore(t.Context(), p, restored)
		must(t, err)
		if again.SHA256 != m.SHA256 {
			t.Errorf("the manifest is %+v, and not %+v", again, m)
		}
		b.check(restored, m)
		if _, err := Restore(t.Context(), p, restored); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("a directory that is not empty is answered %v", err)
		}
		b.check(restored, m)
	}
}

// newS3 is a server that speaks S3, and the environment that leads to it.
func newS3(t *testing.T) func(string) string {
	backend := s3mem.New()
	must(t, backend.CreateBucket("backups"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return func(name string) string {
		return map[string]string{
			"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
			"AWS_REGION": "eu-1",
		}[name]
	}
}

// TestDamaged flips a bit of each file of a copy, cuts it off, lengthens it and removes it: it is refused with the
// file's name, and nothing is left.
func TestDamaged(t *testing.T) {
	b := newBed(t)
	sent, m := b.stream()
	place := filepath.Join(t.TempDir(), "place")
	p := &directory{path: place}
	_, err := Receive(t.Context(), bytes.NewReader(sent), p)
	must(t, err)
	ways := map[string]func([]byte) []byte{
		"flipped": func(v []byte) []byte { v[len(v)/2] ^= 4; return v },
		"cut":     func(v []byte) []byte { return v[:len(v)-1] },
		"longer":  func(v []byte) []byte { return append(v, 0) },
		"gone":    func([]byte) []byte { return nil },
	}
	for _, f := range append([]File{{Name: ManifestName}}, m.Files...) {
		path := p.file(f.Name)
		whole, err := os.ReadFile(path)
		must(t, err)
		for way, change := range ways {
			if changed := change(bytes.Clone(whole)); changed == nil {
				must(t, os.Remove(path))
			} else {
				must(t, os.WriteFile(path, changed, 0o600))
			}
			to := filepath.Join(t.TempDir(), "to")
			_, err := Restore(t.Context(), p, to)
			if err == nil || !strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s is %s, and that is answered %v", f.Name, way, err)
			}
			if !errors.Is(err, disk.ErrDamaged) && !errors.Is(err, ErrIncomplete) {
				t.Errorf("%s is %s, and that is no damage: %v", f.Name, way, err)
			}
			if names := left(t, to); len(names) > 0 {
				t.Errorf("%s is %s, and there is %q", f.Name, way, names)
			}
		}
		must(t, os.WriteFile(path, whole, 0o600))
	}
	_, err = Restore(t.Context(), p, filepath.Join(t.TempDir(), "to"))
	must(t, err)
}

// TestCutOff ends what is sent at every third block of 512 bytes, and flips a bit there: it is refused, and nothing is
// left.
func TestCutOff(t *testing.T) {
	b := newBed(t)
	sent, _ := b.stream()
	end := bytes.LastIndex(sent, []byte("}\n")) + 2 // Behind the manifest a tar has zeroes only.
	for at := 0; at < len(sent); at += 3 * 512 {
		place := &directory{path: filepath.Join(t.TempDir(), "place")}
		_, err := Receive(t.Context(), bytes.NewReader(sent[:at]), place)
		if at < end && err == nil {
			t.Fatalf("%d bytes of %d are taken for whole", at, len(sent))
		}
		if names := left(t, place.path); err != nil && len(names) > 0 {
			t.Fatalf("%d bytes leave %q", at, names)
		}
		flipped := bytes.Clone(sent)
		flipped[at+100] ^= 1
		place = &directory{path: filepath.Join(t.TempDir(), "place")}
		if _, err = Receive(t.Context(), bytes.NewReader(flipped), place); err == nil {
			_, err = Restore(t.Context(), place, filepath.Join(t.TempDir(), "to")) // It was no byte of a file.
			must(t, err)
		} else if names := left(t, place.path); len(names) > 0 {
			t.Fatalf("a flipped bit at byte %d leaves %q", at+100, names)
		}
	}
}

// TestFull lets the place take ever more bytes: what is not whole is removed.
func TestFull(t *testing.T) {
	b := newBed(t)
	sent, m := b.stream()
	for _, f := range m.Files {
		taken := int64(0)
		for _, before := range m.Files {
			if before == f {
				break
			}
			taken += before.Bytes
		}
		place := &failing{directory{path: filepath.Join(t.TempDir(), "place")}, taken}
		if _, err := Receive(t.Context(), bytes.NewReader(sent), place); !errors.Is(err, errFull) {
			t.Errorf("a place that is full at %s is answered %v", f.Name, err)
		}
		if names := left(t, place.path); len(names) > 0 {
			t.Errorf("a place that is full at %s has %q", f.Name, names)
		}
	}
}

// TestYields: while space runs short nothing is copied, and what is being copied ends; everything is let go.
func TestYields(t *testing.T) {
	b := newBed(t)
	c, err := Open(t.Context(), &b.s)
	must(t, err)
	b.low = true
	var sent bytes.Buffer
	if _, err := c.Write(t.Context(), &sent); !errors.Is(err, ErrNoRoom) {
		t.Errorf("it goes on: %v", err)
	}
	must(t, c.Close())
	if _, err := Open(t.Context(), &b.s); !errors.Is(err, ErrNoRoom) || b.held != 0 {
		t.Errorf("it begins, with %d held: %v", b.held, err)
	}
	b.low = false
	ctx, cancel := context.WithCancel(t.Context())
	c, err = Open(ctx, &b.s)
	must(t, err)
	cancel()
	if _, err := c.Write(ctx, &sent); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on: %v", err)
	}
	must(t, c.Close())
}

// TestPlaces: what names a place, and what does not.
func TestPlaces(t *testing.T) {
	for _, bad := range []string{"", "s3://", "s3:///x", "s3://b/../x"} {
		if _, err := ParsePlace(bad, func(string) string { return "" }); err == nil {
			t.Errorf("%q is a place", bad)
		}
	}
	p, err := ParsePlace("some/where", os.Getenv)
	must(t, err)
	if d, ok := p.(*directory); !ok || !filepath.IsAbs(d.path) {
		t.Errorf("a path is %v", p)
	}
	if _, err := Restore(t.Context(), p, t.TempDir()); !errors.Is(err, ErrIncomplete) {
		t.Errorf("a place without anything is answered %v", err)
	}
	if _, err := (&directory{path: filepath.Join(t.TempDir(), "a", "b")}).Open(
		t.Context(),
		"x",
	); !errors.Is(
		err,
		fs.ErrNotExist,
	) {
		t.Errorf("a file that is not there is answered %v", err)
	}
}

// TestPowerCut cuts the power at every change that the place asks its disk for: when the copy was acknowledged, all of
// it is there; before, there is no manifest.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE")
	}
	if err := powercut.Available(); err != nil {
		t.Fatalf("%v: run `make tools` (fuse3) on a machine with /dev/fuse, or leave this test out with -short", err)
	}
	b := newBed(t)
	sent, m := b.stream()
	for cut := uint64(1); ; cut++ {
		lower := t.TempDir()
		f := powercut.MountT(t, lower, powercut.Options{CutAt: cut, CutSeed: cut})
		_, err := Receive(t.Context(), bytes.NewReader(sent), &directory{path: filepath.Join(f.Mountpoint(), "place")})
		must(t, f.Cut())
		to := filepath.Join(t.TempDir(), "to")
		_, rerr := Restore(t.Context(), &directory{path: filepath.Join(lower, "place")}, to)
		switch {
		case err == nil && rerr != nil:
			t.Fatalf("cut %d, at %q: the copy was acknowledged: %v", cut, f.CutAt(), rerr)
		case rerr == nil:
			b.check(to, m)
		case !errors.Is(rerr, ErrIncomplete):
			t.Fatalf("cut %d, at %q: there is a manifest of what is not whole: %v", cut, f.CutAt(), rerr)
		}
		if err == nil {
			t.Logf("%d changes", cut)
			return
		}
	}
}

// TestDamagedLedger: a scan of rows reads past a table that has gone bad. So tables are proved first, and nothing is
// copied.
func TestDamagedLedger(t *testing.T) {
	b := newBed(t)
	must(t, b.ledger.Close()) // It writes a table.
	again, err := ledger.Open(ledger.Options{Path: b.s.Dir.LedgerPath()})
	must(t, err)
	t.Cleanup(func() {
		if err := again.Close(); err == nil {
			t.Error("it has not failed")
		}
	})
	b.s.Ledger = func(context.Context) (*ledger.Instant, error) { return again.OpenInstant() }
	tables, err := filepath.Glob(filepath.Join(b.s.Dir.LedgerPath(), "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	f, err := os.OpenFile(tables[0], os.O_RDWR, 0)
	must(t, err)
	var one [1]byte
	_, err = f.ReadAt(one[:], 40)
	must(t, err)
	one[0] ^= 4
	_, err = f.WriteAt(one[:], 40)
	must(t, errors.Join(err, f.Close()))
	c, err := Open(t.Context(), &b.s)
	must(t, err)
	_, err = c.Write(t.Context(), io.Discard)
	if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), tables[0]) {
		t.Errorf("it is copied: %v", err)
	}
	must(t, c.Close())
}
