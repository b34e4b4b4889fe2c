package sealed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/license"
)

// standby is another node's directory, with the audit log of a bed.
type standby struct {
	*Keeper
	b       *bed
	path    string
	sources []Source
	room    bool
	changes int
}

func newStandby(b *bed, sources ...Source) *standby {
	b.t.Helper()
	s := &standby{b: b, path: b.t.TempDir(), sources: sources, room: true}
	s.open()
	return s
}

// open is a start of the node.
func (s *standby) open() {
	s.b.t.Helper()
	store, err := OpenCopy(s.path, s.b.prefix, nil)
	must(s.b.t, err)
	s.Keeper = NewKeeper(KeeperOptions{
		Store: store, Record: &Record{}, Audit: s.b.audit, Change: func() uint64 { return uint64(len(s.b.entries)) },
		Sources: func() []Source { return s.sources }, Room: func(uint64) bool { return s.room },
		Changed: func() { s.changes++ }, Logger: slog.New(slog.DiscardHandler),
	})
}

// ids returns what the node shows, oldest first.
func (s *standby) ids() []string { return (&bed{Maker: &Maker{store: s.o.Store}}).ids() }

// same compares all files of the node with those of the bed: byte for byte, and nothing else is there.
func (s *standby) same() {
	s.b.t.Helper()
	other := &bed{t: s.b.t, path: s.path}
	have, want := other.files(), s.b.files()
	if !slices.Equal(have, want) {
		s.b.t.Fatalf("there are %q, and not %q", have, want)
	}
	for _, name := range want {
		a, err := os.ReadFile(filepath.Join(s.b.path, name))
		must(s.b.t, err)
		c, err := os.ReadFile(filepath.Join(s.path, name))
		must(s.b.t, err)
		if string(a) != string(c) {
			s.b.t.Errorf("%s differs", name)
		}
	}
}

// from is the directory of a bed as another node sends it; spoil changes what it sends of a file.
type from struct {
	b     *bed
	asked int
	spoil func(file string, content []byte) ([]byte, error)
}

func (f *from) Name() string { return "n1" }

func (f *from) Get(_ context.Context, id, file string, w io.Writer) error {
	f.asked++
	content, err := os.ReadFile(filepath.Join(f.b.path, id, file))
	broken := error(nil)
	if err == nil && f.spoil != nil {
		content, broken = f.spoil(file, content)
	}
	if err == nil {
		_, err = w.Write(content)
	}
	return errors.Join(err, broken)
}

// A node copies what the audit log names, newest first, and removes what the log says was removed; that is not copied
// again, nor after a start.
func TestKeeper(t *testing.T) {
	b := newBed(t)
	b.keep = 10 * 24 * time.Hour
	b.open()
	f := &from{b: b}
	s := newStandby(b, f)
	b.twoMonths()
	s.step(t.Context())
	s.same()
	if s.Lacks() != 0 || s.changes != 7 || s.Fetched() != 7 || s.o.Store.Newest() != 7 {
		t.Errorf("it lacks %d, %d changes, %d copied", s.Lacks(), s.changes, s.Fetched())
	}
	b.now = time.Date(2026, 12, 20, 9, 0, 0, 0, time.UTC)
	b.removeAll()
	s.step(t.Context())
	s.same()
	if got := s.ids(); slices.Contains(got, "s00000001") || len(got) != 6 {
		t.Errorf("there are %q", got)
	}
	s.open()
	f.asked = 0
	s.step(t.Context())
	s.same()
	if f.asked > 0 {
		t.Errorf("after a start it asks for %d files", f.asked)
	}
}

// Whatever another node sends, and whenever it breaks off: nothing half is shown or left, and the next try succeeds.
func TestKeeperRefuses(t *testing.T) {
	cut := errors.New("the connection broke")
	spoils := map[string]func(file, want string, content []byte) ([]byte, error){
		"truncated": func(_, _ string, c []byte) ([]byte, error) { return c[:len(c)/2], nil },
		"longer":    func(_, _ string, c []byte) ([]byte, error) { return append(c, '\n'), nil },
		"flipped": func(_, _ string, c []byte) ([]byte, error) {
			c[len(c)/2] ^= 1
			return c, nil
		},
		"interrupted": func(_, _ string, c []byte) ([]byte, error) { return c[:len(c)/2], cut },
	}
	for what, spoil := range spoils {
		for _, file := range []string{devicesCSV, devicesNDJSON, devicesParquet, productsCSV, ManifestName} {
			t.Run(what+" "+file, func(t *testing.T) {
				b := newBed(t)
				m := b.sealed(Request{})
				f := &from{b: b}
				f.spoil = func(name string, c []byte) ([]byte, error) {
					if name != file {
						return c, nil
					}
					return spoil(name, file, c)
				}
				s := newStandby(b, f)
				s.step(t.Context())
				if got := s.ids(); len(got) > 0 || s.Lacks() != 1 || s.changes != 0 {
					t.Fatalf("it shows %q, and lacks %d", got, s.Lacks())
				}
				if left, err := os.ReadDir(s.path); err != nil || len(left) > 0 {
					t.Fatalf("%v is left, %v", left, err)
				}
				f.spoil = nil
				s.open()
				s.step(t.Context())
				s.same()
				if s.o.Store.Get(m.ID) == nil {
					t.Error("it is not shown")
				}
			})
		}
	}
}

// A manifest that another node made under the same id is not what was sealed, although it is whole.
func TestKeeperForeign(t *testing.T) {
	b, other := newBed(t), newBed(t)
	other.devices = 5
	m := b.sealed(Request{})
	other.sealed(Request{})
	s := newStandby(b, &from{b: other})
	s.step(t.Context())
	if got := s.ids(); len(got) > 0 {
		t.Fatalf("it shows %q", got)
	}
	s.sources = append(s.sources, &from{b: b}) // It is heard now: nobody waits for the next try.
	s.tries[m.ID].at = time.Time{}
	s.step(t.Context())
	s.same()
}

// What a crash left complete but for its name is shown if the audit log names it, and is another node's work if not:
// then it is copied. What was damaged is copied anew.
func TestKeeperAfterCrash(t *testing.T) {
	b := newBed(t)
	m := b.sealed(Request{})
	f := &from{b: b}
	s := newStandby(b, f)
	tmp := filepath.Join(s.path, "."+m.ID+".tmp")
	must(t, os.CopyFS(tmp, os.DirFS(filepath.Join(b.path, m.ID))))
	s.open()
	if got := s.ids(); len(got) > 0 {
		t.Fatalf("it shows %q before it knows the audit log", got)
	}
	s.step(t.Context())
	s.same()
	if f.asked > 0 {
		t.Errorf("it asks for %d files", f.asked)
	}
	// The same id, sealed by two owners: this node's has no entry.
	other := newBed(t)
	other.devices = 5
	other.sealed(Request{})
	must(t, os.RemoveAll(filepath.Join(s.path, m.ID)))
	must(t, os.CopyFS(tmp, os.DirFS(filepath.Join(other.path, m.ID))))
	s.open()
	s.step(t.Context())
	s.same()
	// A file is cut off.
	must(t, os.Truncate(filepath.Join(s.path, m.ID, devicesCSV), 5))
	s.open()
	if got := s.ids(); len(got) > 0 || s.o.Store.damaged != 1 {
		t.Fatalf("it shows %q", got)
	}
	s.step(t.Context())
	s.same()
	if s.o.Store.damaged != 0 {
		t.Error("it is still damaged")
	}
}

// A disk without room takes nothing, and goes on when there is some. Nobody who has it is heard: it is lost, until
// somebody is.
func TestKeeperWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		m := b.sealed(Request{})
		s := newStandby(b, &from{b: b})
		s.room = false
		maker, err := NewMaker(Options{
			Store: s.o.Store, Record: s.o.Record, Cut: b.cut, Note: b.note, Audit: b.audit,
			Catalogue: func() *license.Catalogue { return b.catalogue }, NowMs: b.o.NowMs,
		})
		must(t, err)
		if !maker.Awaited("") || !maker.Awaited("s00000009") {
			t.Error("an owner that has not read the audit log knows what there is")
		}
		must(t, maker.look())
		s.step(t.Context())
		if !maker.Awaited(m.ID) || maker.Awaited("s00000009") || s.Lacks() != 1 {
			t.Error("what could not be copied is not awaited")
		}
		s.sources = []Source{&from{b: newBed(t)}, &from{b: newBed(t)}}
		s.step(t.Context())
		if maker.Awaited(m.ID) || maker.Awaited("") || s.Lacks() != 1 {
			t.Error("what nobody has is awaited")
		}
		s.sources, s.room = []Source{&from{b: newBed(t)}, &from{b: b}}, true
		time.Sleep(fetchRetryMax)
		s.step(t.Context())
		s.same()
		if maker.Awaited("") || s.Lacks() != 0 {
			t.Error("what is here is awaited")
		}
	})
}

// A new owner goes on behind what was sealed elsewhere, whether it has that or not, and its schedule makes nothing
// twice and leaves nothing out; neither does that of the old one when it owns the cell again.
func TestScheduleElsewhere(t *testing.T) {
	both := Schedule{Daily: true, Monthly: true}
	since := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	at := func(day int) time.Time { return since.AddDate(0, 0, day).Add(time.Hour) }
	nodes := []*bed{newBed(t), newBed(t)}
	log := []license.AuditEntry{}
	own := func(i int) *bed {
		b := nodes[i]
		b.entries = slices.Clone(log)
		b.open()
		return b
	}
	must(t, own(0).beginSchedule(both)) // October was over.
	log = nodes[0].entries
	for _, step := range []struct {
		node, day int
		want      []string
	}{
		{0, 1, []string{"2026-11 day=2026-11-29 month= final=false"}},
		{1, 1, nil},
		{1, 2, []string{"2026-11 day=2026-11-30 month=2026-11 final=true"}},
		{0, 2, nil},
		{0, 3, []string{"2026-12 day=2026-12-01 month= final=false"}},
		{1, 64, []string{
			"2026-12 day= month=2026-12 final=true", "2027-01 day=2027-01-31 month=2027-01 final=true",
		}},
		{0, 64, nil},
	} {
		b := own(step.node)
		if got := b.catchUp(both, since, at(step.day)); !slices.Equal(got, step.want) {
			t.Errorf("node %d makes %q on day %d, and not %q", step.node, got, step.day, step.want)
		}
		log = b.entries
	}
	if b := own(1); b.look() != nil || b.since(at(50)) != log[0].AtMs {
		t.Error("a copy that was made anew does not know when the cluster began")
	}
	for i, e := range log {
		if want := fmt.Sprintf("s%08d", i+1); e.Target != want {
			t.Errorf("entry %d is of %s", e.Seq, e.Target)
		}
	}
}

// A snapshot that comes late is exported, although newer ones were, and a list has it in its place.
func TestLateIsExported(t *testing.T) {
	b := newBed(t)
	first := b.sealed(Request{})
	second := b.sealed(Request{})
	s := newStandby(b, &from{b: b})
	must(t, os.CopyFS(filepath.Join(s.path, second.ID), os.DirFS(filepath.Join(b.path, second.ID))))
	s.open()
	must(t, s.o.Store.Exported("place", 2))
	s.step(t.Context())
	s.same()
	for _, want := range []*Manifest{first, second} {
		m, _, _ := s.o.Store.Next("place")
		if m == nil || m.ID != want.ID {
			t.Fatalf("the next to export is %v, not %s", m, want.ID)
		}
		must(t, s.o.Store.Exported("place", m.Sequence))
	}
	s.open()
	if m, _, _ := s.o.Store.Next("place"); m != nil {
		t.Errorf("%s is exported once more", m.ID)
	}
}

// The place of export goes back before a late snapshot is shown: a position that cannot be written is tried again, and
// none passes what is about to be shown.
func TestLateIsExportedAfterError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		first, second := b.sealed(Request{}), b.sealed(Request{})
		s := newStandby(b, &from{b: b})
		must(t, os.CopyFS(filepath.Join(s.path, second.ID), os.DirFS(filepath.Join(b.path, second.ID))))
		s.open()
		must(t, s.o.Store.Exported("place", 2))
		inTheWay := filepath.Join(s.path, positionsName+".tmp")
		must(t, os.Mkdir(inTheWay, 0o700))
		s.step(t.Context())
		if got := s.ids(); len(got) != 1 || s.Lacks() != 1 {
			t.Fatalf("it shows %q, which are not exported", got)
		}
		must(t, os.Remove(inTheWay))
		time.Sleep(fetchRetryMax)
		must(t, s.o.Store.come(first.Sequence))
		must(t, s.o.Store.Exported("place", 2))
		if m, _, _ := s.o.Store.Next("place"); m != nil {
			t.Errorf("%s is exported before an older one", m.ID)
		}
		s.step(t.Context())
		s.same()
		if m, _, _ := s.o.Store.Next("place"); m == nil || m.ID != first.ID {
			t.Fatalf("the next to export is %v, not %s", m, first.ID)
		}
	})
}

// The audit log is read when administration has changed something. What cannot be removed is tried again after a pause,
// also if nothing happens any more.
func TestKeeperRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.keep = 10 * 24 * time.Hour
		b.open()
		s := newStandby(b, &from{b: b})
		reads := 0
		s.o.Audit = func(after uint64, fn func(license.AuditEntry) bool) error {
			reads++
			return b.audit(after, fn)
		}
		var said strings.Builder
		s.o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		b.twoMonths()
		s.step(t.Context())
		b.now = time.Date(2026, 12, 20, 9, 0, 0, 0, time.UTC)
		b.removeAll()
		inTheWay := filepath.Join(s.path, ".s00000001.gone")
		must(t, os.MkdirAll(filepath.Join(inTheWay, "file"), 0o700))
		for range 10 {
			s.step(t.Context())
		}
		if n := strings.Count(said.String(), "level=ERROR"); n != 1 || reads != 2 || len(s.ids()) != 7 {
			t.Errorf("%d errors, the audit log was read %d times, there are %q", n, reads, s.ids())
		}
		must(t, os.RemoveAll(inTheWay))
		time.Sleep(fetchRetryMax)
		s.step(t.Context())
		s.same()
	})
}

// The record answers while the audit log is read.
func TestRecordAnswers(t *testing.T) {
	b := newBed(t)
	m := b.sealed(Request{})
	var r Record
	must(t, r.Follow(func(after uint64, fn func(license.AuditEntry) bool) error {
		if r.of(m.ID) != nil || r.at() != 0 {
			t.Error("what is being read is known")
		}
		return b.audit(after, fn)
	}))
	if r.of(m.ID) == nil || r.at() != uint64(len(b.entries)) || r.sinceMs() != b.entries[0].AtMs {
		t.Error("what was read is not known")
	}
}
