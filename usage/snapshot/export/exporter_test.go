package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

func TestParsePlace(t *testing.T) {
	env := map[string]string{}
	get := func(name string) string { return env[name] }
	for _, to := range []string{"/mnt/billing", "s3://bucket-1", "s3://bucket-1/a/b", "s3://bucket-1/a/"} {
		if _, err := ParsePlace(to, get); err != nil {
			t.Errorf("%q: %v", to, err)
		}
	}
	for _, to := range []string{"", "billing", "./billing", "s3://", "s3:///a", "s3://b/../a", "s3://b/a//b"} {
		if _, err := ParsePlace(to, get); err == nil {
			t.Errorf("%q is a place", to)
		}
	}
	for _, bad := range []map[string]string{
		{"AWS_ENDPOINT_URL": "localhost:9000"},
		{"AWS_ENDPOINT_URL_S3": "ftp://localhost"},
		{"AWS_ENDPOINT_URL": "http://localhost/path"},
		{"AWS_ACCESS_KEY_ID": "only"},
	} {
		env = bad
		if _, err := ParsePlace("s3://bucket-1/a", get); err == nil {
			t.Errorf("%q leads to a place", bad)
		}
	}
}

// TestS3 exports to a server that speaks S3: the manifest last, once, and again behind a restart from where it was.
func TestS3(t *testing.T) {
	b, s := newBed(t), newS3(t)
	place, err := ParsePlace("s3://billing/meterd/eu", s.env)
	must(t, err)
	first, second := b.seal(), b.seal()
	e := b.exporter(place, "s3://billing/meterd/eu")
	for _, m := range []*sealed.Manifest{first, second} {
		if next, _, _ := b.store.Next(e.o.Name); next.ID != m.ID || !e.step(t.Context(), next) {
			t.Fatalf("%s is not exported, next is %s", m.ID, next.ID)
		}
		b.whole(s.get("meterd/eu"), m)
	}
	want := []string{
		"devices.csv", "devices.ndjson", "devices.parquet", "products.csv", "SHA256SUMS", "manifest.json",
	}
	if got := s.order; !slices.Equal(got, append(want, want...)) {
		t.Errorf("it puts %q", got)
	}
	b.open()
	if m, _, _ := b.store.Next(e.o.Name); m != nil {
		t.Errorf("after a restart %s is to be exported again", m.ID)
	}
	// It was exported, and the daemon ended before it could note that: nothing is put again.
	must(t, os.Remove(filepath.Join(b.path, "POSITIONS")))
	b.open()
	e = b.exporter(place, e.o.Name)
	if m, _, _ := b.store.Next(e.o.Name); m.ID != first.ID || !e.step(t.Context(), m) {
		t.Error("what is there already is not passed over")
	}
	if got := len(s.order); got != 2*len(want) {
		t.Errorf("%d objects were put", got)
	}
}

// TestManifestLast has the store fail at each object: what has no manifest is not taken for whole, and it is tried
// again until all is there.
func TestManifestLast(t *testing.T) {
	b, s := newBed(t), newS3(t)
	place, err := ParsePlace("s3://billing", s.env)
	must(t, err)
	m := b.seal()
	e := b.exporter(place, "s3://billing")
	for _, name := range []string{"devices.csv", "devices.parquet", "SHA256SUMS", "manifest.json"} {
		s.refusing(func(r *http.Request) bool { return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, name) })
		if e.step(t.Context(), m) {
			t.Fatalf("it is exported without %s", name)
		}
		if _, err := s.get("")(m.ID + "/" + sealed.ManifestName); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s there is a manifest", name)
		}
	}
	s.refusing(nil)
	if !e.step(t.Context(), m) {
		t.Fatal("it is not exported")
	}
	b.whole(s.get(""), m)
	if e.failures.Load() != 4 || e.done.Load() != 1 {
		t.Errorf("%d failed, %d are done", e.failures.Load(), e.done.Load())
	}
}

// TestOtherDaemon exports two daemons' snapshots to one place: the second one's are not written over the first one's.
func TestOtherDaemon(t *testing.T) {
	place := newDirectory(t.TempDir())
	mine, theirs := newBed(t), newBed(t)
	m := mine.seal()
	if !mine.exporter(place, "x").step(t.Context(), m) {
		t.Fatal("it is not exported")
	}
	theirs.seal()
	other := theirs.store.Get(m.ID)
	other.MadeBy = "another"
	err := theirs.exporter(place, "x").export(t.Context(), other)
	if err == nil || !strings.Contains(err.Error(), "another snapshot") {
		t.Errorf("another daemon's is answered %v", err)
	}
	mine.whole(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(place.path, name)) }, m)
}

// TestDamaged flips a bit of a sealed file: it is not exported.
func TestDamaged(t *testing.T) {
	b := newBed(t)
	m := b.seal()
	name := filepath.Join(b.path, m.ID, "products.csv")
	content, err := os.ReadFile(name)
	must(t, err)
	content[20] ^= 1
	must(t, os.WriteFile(name, content, 0o600))
	to := t.TempDir()
	if err := b.exporter(newDirectory(to), to).export(t.Context(), m); !errors.Is(err, disk.ErrDamaged) {
		t.Errorf("it is answered %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, m.ID, sealed.ManifestName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a manifest: %v", err)
	}
}

// TestLargeObject is sent in parts.
func TestLargeObject(t *testing.T) {
	s := newS3(t)
	place, err := ParsePlace("s3://billing", s.env)
	must(t, err)
	content := bytes.Repeat([]byte("meterd "), (2*partBytes+partBytes/2)/7)
	before := s.requests.Load()
	must(t, place.Put(t.Context(), "s1/devices.csv", "text/csv", bytes.NewReader(content), int64(len(content))))
	if n := s.requests.Load() - before; n < 5 { // Begin, three parts, end.
		t.Errorf("it took %d requests", n)
	}
	got, err := s.get("")("s1/devices.csv")
	if err != nil || sha256.Sum256(got) != sha256.Sum256(content) {
		t.Errorf("it is %d bytes there, and not %d: %v", len(got), len(content), err)
	}
}

// faultyPlace fails a number of times.
type faultyPlace struct {
	*directory
	failures int
}

func (f *faultyPlace) Get(ctx context.Context, name string) ([]byte, error) {
	if f.failures > 0 {
		f.failures--
		return nil, errors.New("the place is away")
	}
	return f.directory.Get(ctx, name)
}

// TestRun tries again, later and later, and goes on with what is sealed meanwhile.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		to := t.TempDir()
		e := b.exporter(&faultyPlace{newDirectory(to), 20}, to)
		set := metric.NewSet()
		e.RegisterMetrics(set)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			e.Run(ctx)
		}()
		first := b.seal()
		synctest.Wait()
		text := string(set.Text())
		for _, want := range []string{"meterd_snapshot_export_pending 1\n", "meterd_snapshot_export_failures_total 1\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("metrics lack %q", want)
			}
		}
		second := b.seal()
		time.Sleep(2 * time.Hour) // Twenty pauses, of five minutes at most.
		synctest.Wait()
		get := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(to, name)) }
		b.whole(get, first)
		b.whole(get, second)
		if text := string(set.Text()); !strings.Contains(text, "meterd_snapshot_export_pending 0\n") ||
			!strings.Contains(text, "meterd_snapshots_exported_total 2\n") || !strings.Contains(text, "export_lag_seconds 0\n") {
			t.Errorf("metrics are %s", text)
		}
		cancel()
		<-ended
	})
}
