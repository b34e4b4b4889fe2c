package export

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/usage/snapshot"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// source has a product with some devices.
type source struct{ about snapshot.About }

func (s *source) About() snapshot.About { return s.about }

func (s *source) Devices(_ context.Context, fn func(*snapshot.Row) error) error {
	for i := range s.about.Rows {
		r := &snapshot.Row{Product: "p1", Device: fmt.Appendf(nil, "d%d", i), Usage: snapshot.Usage{MessagesUp: 7}}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) Products(_ context.Context, fn func(*snapshot.ProductRow) error) error {
	return fn(&snapshot.ProductRow{Product: "p1", Account: "acme", Usage: snapshot.Usage{MessagesUp: 7 * s.about.Rows}})
}

func (s *source) Close() error { return nil }

// bed has a store with a way to make snapshots.
type bed struct {
	t     testing.TB
	path  string
	store *sealed.Store
	maker *sealed.Maker
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{t: t, path: t.TempDir()}
	b.open()
	return b
}

// open opens the store, as a restart does.
func (b *bed) open() {
	b.t.Helper()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixMilli()
	by := license.Actor{Token: "t", AtMs: at}
	catalogue, _, _, err := license.New("default", time.Hour).CreateAccount(by, "acme", license.Personal, "default")
	must(b.t, err)
	catalogue, _, _, err = catalogue.CreateProduct(by, license.ProductSpec{Name: "p1", Account: "acme", Zone: "UTC"})
	must(b.t, err)
	b.store, err = sealed.OpenStore(b.path, "", nil)
	must(b.t, err)
	b.maker, err = sealed.NewMaker(sealed.Options{
		Store: b.store, Catalogue: func() *license.Catalogue { return catalogue }, NowMs: func() int64 { return at },
		Note: func(string, string, any) error { return nil },
		Cut: func(_ context.Context, _ string, month uint32) (snapshot.Source, error) {
			return &source{snapshot.About{Month: month, AsOfMs: at, Rows: 1000}}, nil
		},
	})
	must(b.t, err)
}

func (b *bed) seal() *sealed.Manifest {
	b.t.Helper()
	m, err := b.maker.Make(context.Background(), sealed.Request{
		Token: "t", Note: func(string, string, any) error { return nil },
	})
	must(b.t, err)
	return m
}

// exporter returns one to a place, called name.
func (b *bed) exporter(place Place, name string) *Exporter {
	b.t.Helper()
	e, err := New(Options{Store: b.store, Place: place, Name: name, NowMs: func() int64 { return 1 << 41 }})
	must(b.t, err)
	return e
}

// whole fails the test unless a place has all of a snapshot, as it was sealed.
func (b *bed) whole(get func(name string) ([]byte, error), m *sealed.Manifest) {
	b.t.Helper()
	for _, f := range append(m.Files, sealed.File{Name: sealed.SumsName}) {
		content, _, err := b.store.Open(m, f.Name)
		must(b.t, err)
		want, err := io.ReadAll(content)
		must(b.t, err)
		content.Close()
		if got, err := get(m.ID + "/" + f.Name); err != nil || string(got) != string(want) {
			b.t.Errorf("%s is %d bytes there, and not %d: %v", f.Name, len(got), len(want), err)
		}
	}
	want, err := m.Encode()
	must(b.t, err)
	if got, err := get(m.ID + "/" + sealed.ManifestName); err != nil || string(got) != string(want) {
		b.t.Errorf("the manifest is %q there: %v", got, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// s3 is a server that speaks S3, in this process. refuse ends requests before it.
type s3 struct {
	backend  *s3mem.Backend
	server   *httptest.Server
	requests atomic.Int64
	mu       sync.Mutex
	refuse   func(*http.Request) bool
	order    []string // of the objects that were put
}

func newS3(t testing.TB) *s3 {
	t.Helper()
	s := &s3{backend: s3mem.New()}
	must(t, s.backend.CreateBucket("billing"))
	fake := gofakes3.New(s.backend).Server()
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		refuse := s.refuse
		s.mu.Unlock()
		if refuse != nil && refuse(r) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fake.ServeHTTP(w, r)
		if r.Method == http.MethodPut {
			s.mu.Lock()
			s.order = append(s.order, path.Base(r.URL.Path))
			s.mu.Unlock()
		}
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *s3) refusing(fn func(*http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = fn
}

// env is the environment that leads to the server.
func (s *s3) env(name string) string {
	return map[string]string{
		"AWS_ENDPOINT_URL": s.server.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_REGION": "eu-1",
	}[name]
}

func (s *s3) get(prefix string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		object, err := s.backend.GetObject("billing", strings.TrimPrefix(prefix+"/"+name, "/"), nil)
		if err != nil {
			return nil, fs.ErrNotExist
		}
		defer object.Contents.Close()
		return io.ReadAll(object.Contents)
	}
}
