package sealed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/usage/snapshot"
)

// TestSealed looks at a snapshot: its files, checksums, chain, and its entry in the audit log.
func TestSealed(t *testing.T) {
	b := newBed(t)
	first := b.sealed(Request{})
	second := b.sealed(Request{Period: "2026-10"})
	if first.Sequence != 1 || first.Previous != nil || first.Period != "2026-11" || first.Final || first.Rows != 6 ||
		first.Account != nil || !first.Sealed || first.Group != 42 || first.AsOf != Instant(now.UnixMilli()) {
		t.Errorf("the first is %+v", first)
	}
	if second.Sequence != 2 || textOf(second.Previous) != first.SHA256 || second.Period != "2026-10" || !second.Final {
		t.Errorf("the second is %+v", second)
	}
	want := []string{
		"s00000001/SHA256SUMS", "s00000001/devices.csv", "s00000001/devices.ndjson", "s00000001/devices.parquet",
		"s00000001/manifest.json", "s00000001/products.csv", "s00000002/SHA256SUMS", "s00000002/devices.csv",
		"s00000002/devices.ndjson", "s00000002/devices.parquet", "s00000002/manifest.json", "s00000002/products.csv",
	}
	if got := b.files(); !slices.Equal(got, want) {
		t.Errorf("there are %q", got)
	}
	text := ""
	for i, name := range []string{"devices.csv", "devices.ndjson", "devices.parquet", "products.csv"} {
		content, err := os.ReadFile(filepath.Join(b.path, first.ID, name))
		must(t, err)
		sum := sha256.Sum256(content)
		f := first.Files[i]
		if f.Name != name || f.Bytes != int64(len(content)) || f.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is shown as %+v", name, f)
		}
		if rows := []uint64{6, 6, 6, 2}[i]; f.Rows != rows {
			t.Errorf("%s has %d rows, want %d", name, f.Rows, rows)
		}
		text += f.SHA256 + "  " + name + "\n"
	}
	if sum := sha256.Sum256([]byte(text)); first.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("the sha256 of all is %s", first.SHA256)
	}
	if len(b.notes) != 2 || !strings.HasPrefix(b.notes[0], `snapshot.create s00000001 {"account":null,"corrects":null,`) {
		t.Errorf("the audit log has %q", b.notes)
	}
	b.open()
	for _, m := range []*Manifest{first, second} {
		again, err := b.store.Get(m.ID).Encode()
		must(t, err)
		if was, _ := m.Encode(); string(was) != string(again) {
			t.Errorf("after a restart it is\n%s\nand was\n%s", again, was)
		}
	}
}

// TestContent is what the text files say, in both sets of names.
func TestContent(t *testing.T) {
	b := newBed(t)
	b.devices = 1
	m := b.sealed(Request{})
	want := map[string]string{}
	for _, name := range []string{devicesCSV, devicesNDJSON, productsCSV} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		must(t, err)
		want[name] = string(text)
	}
	for name, text := range want {
		if got := b.read(m, name, false); got != text {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, text)
		}
	}
	renames := []string{
		"product", "SubAccountId", "device", "ResourceId", "from", "ChargePeriodStart", "to", "ChargePeriodEnd", "account",
		"BillingAccountId",
	}
	for _, name := range []string{devicesCSV, productsCSV} {
		wantHead, rest, _ := strings.Cut(want[name], "\n")
		words := strings.Split(wantHead, ",")
		for i, word := range words {
			if at := slices.Index(renames, word); at >= 0 {
				words[i] = renames[at+1]
				continue
			}
			words[i] = "x_"
			for part := range strings.SplitSeq(word, "_") {
				words[i] += strings.ToUpper(part[:1]) + part[1:]
			}
		}
		if got := b.read(m, name, true); got != strings.Join(words, ",")+"\n"+rest {
			t.Errorf("for FOCUS %s is\n%s", name, got)
		}
	}
	line, _, _ := strings.Cut(b.read(m, devicesNDJSON, true), "\n")
	if want := `{"SubAccountId":"p1","ResourceId":"device-00000000","x_State":"unactivated",` +
		`"x_ActivatedAt":"2026-09-21T14:13:20Z","x_ExpiresAt":"2031-10-17T10:40:00Z",` +
		`"ChargePeriodStart":"2026-10-31T16:00:00Z","ChargePeriodEnd":"2026-11-30T16:00:00Z","x_MessagesUp":0,` +
		`"x_MessagesDown":0,"x_MessagesDenied":0,"x_OtaUnits":-1,"x_OtaTopupUnits":-1,"x_OtaDenied":0,` +
		`"x_LicensesConsumed":0}`; line != want {
		t.Errorf("for FOCUS a line is\n%s\nwant\n%s", line, want)
	}
	if _, ok := FocusReader(devicesParquet, nil); ok {
		t.Error("a Parquet file has the names of FOCUS")
	}
}

// TestRefused asks for what cannot be made; nothing is left of it.
func TestRefused(t *testing.T) {
	b := newBed(t)
	b.account("other")
	name := func(s string) *string { return &s }
	theirs := b.sealed(Request{Account: name("other")})
	mine := b.sealed(Request{Bound: "acme"})
	before := b.files()
	for _, c := range []struct {
		request Request
		code    event.Code
		field   string
	}{
		{Request{Period: "2026-12"}, event.InvalidArgument, "period"},
		{Request{Period: "2026-11-01"}, event.InvalidArgument, "period"},
		{Request{Period: "november"}, event.InvalidArgument, "period"},
		{Request{Period: "2019-12"}, event.InvalidArgument, "period"},
		{Request{Account: name("nobody")}, event.NotFound, "account"},
		{Request{Account: name("other"), Bound: "acme"}, event.NotFound, "account"},
		{Request{Account: name(""), Bound: "acme"}, event.NotFound, "account"},
		{Request{Corrects: "s00000009"}, event.NotFound, "corrects"},
		{Request{Corrects: "../../LOCK"}, event.NotFound, "corrects"},
		{Request{Corrects: theirs.ID, Bound: "acme"}, event.NotFound, "corrects"},
		{Request{Corrects: mine.ID, Account: name("other")}, event.InvalidArgument, "corrects"},
		{Request{Corrects: mine.ID, Period: "2026-10"}, event.InvalidArgument, "corrects"},
	} {
		_, err := b.make(c.request)
		var p *event.Problem
		if !errors.As(err, &p) || p.Code != c.code || p.Field != c.field {
			t.Errorf("%+v is answered %v", c.request, err)
		}
	}
	if got := b.files(); !slices.Equal(got, before) || len(b.notes) != 2 {
		t.Errorf("there are %q and %q", got, b.notes)
	}
	corrected := b.sealed(Request{Corrects: mine.ID})
	if textOf(corrected.Corrects) != mine.ID || corrected.AccountName() != "acme" || corrected.Period != mine.Period {
		t.Errorf("a correction is %+v", corrected)
	}
	empty := b.sealed(Request{Account: name("empty")})
	if empty.Rows != 0 || empty.AccountName() != "empty" {
		t.Errorf("a snapshot without devices is %+v", empty)
	}
	if got := b.read(empty, productsCSV, false); strings.Count(got, "\n") != 1 {
		t.Errorf("products.csv without products is %q", got)
	}
}

// TestRunningMonth is about the hours in which one product's month is over and another's is not.
func TestRunningMonth(t *testing.T) {
	b := newBed(t)
	b.now = november30(17) // December in Shanghai, November in New York.
	if m := b.sealed(Request{}); m.Period != "2026-11" || m.Final {
		t.Errorf("the running month is %s, final %t", m.Period, m.Final)
	}
	if m := b.sealed(Request{Period: "2026-12"}); m.Final {
		t.Error("a month that has just begun is final")
	}
	b.now = november30(30)
	if m := b.sealed(Request{Period: "2026-11"}); !m.Final {
		t.Error("a month that is over everywhere is not final")
	}
	if m := b.sealed(Request{}); m.Period != "2026-12" {
		t.Errorf("the running month is %s", m.Period)
	}
}

// TestDifference spoils each number of a product's totals: nothing is sealed, and it is shouted about.
func TestDifference(t *testing.T) {
	spoil := map[string]func(*snapshot.ProductRow){
		"messages_up":       func(r *snapshot.ProductRow) { r.MessagesUp++ },
		"messages_down":     func(r *snapshot.ProductRow) { r.MessagesDown-- },
		"messages_denied":   func(r *snapshot.ProductRow) { r.MessagesDenied++ },
		"ota_units":         func(r *snapshot.ProductRow) { r.OTAUnits-- },
		"ota_topup_units":   func(r *snapshot.ProductRow) { r.OTATopupUnits++ },
		"ota_denied":        func(r *snapshot.ProductRow) { r.OTADenied++ },
		"licenses_consumed": func(r *snapshot.ProductRow) { r.LicensesConsumed++ },
		"devices_active":    func(r *snapshot.ProductRow) { r.DevicesActive++ },
	}
	for field, change := range spoil {
		b := newBed(t)
		b.change = func(s *fakeSource) {
			s.spoil = func(r *snapshot.ProductRow) {
				if r.Product == "p2" {
					change(r)
				}
			}
		}
		_, err := b.make(Request{})
		var p *event.Problem
		if !errors.As(err, &p) || p.Code != event.TotalsDiffer || !strings.Contains(p.Detail, field) {
			t.Errorf("%s: %v", field, err)
		}
		if got := b.files(); len(got) > 0 {
			t.Errorf("%s: there are %q", field, got)
		}
		if len(b.notes) != 1 || !strings.HasPrefix(b.notes[0], "snapshot.refuse 2026-11 ") ||
			!strings.Contains(b.notes[0], field) || b.stats.differ.Load() != 1 {
			t.Errorf("%s: the audit log has %q", field, b.notes)
		}
		b.change = nil
		if m := b.sealed(Request{}); m.Sequence != 1 {
			t.Errorf("%s: the next is %+v", field, m)
		}
	}
}

// TestFailure breaks off at every stage: nothing is left, and the next snapshot is the first.
func TestFailure(t *testing.T) {
	broken := errors.New("broken")
	full := unix.ENOSPC
	for name, c := range map[string]struct {
		begin func(b *bed)
		want  error
		code  event.Code
	}{
		"source": {begin: func(b *bed) {
			b.change = func(s *fakeSource) {
				s.failing = func(row int) error {
					if row == 20_000 {
						return broken
					}
					return nil
				}
			}
		}, want: broken},
		"full disk": {begin: func(b *bed) {
			b.change = func(s *fakeSource) {
				s.failing = func(row int) error {
					if row == 20_000 {
						return noRoom(full)
					}
					return nil
				}
			}
		}, code: event.DiskFull},
		"space runs out": {begin: func(b *bed) { b.full.Store(true) }, code: event.DiskFull},
		"token revoked":  {begin: func(b *bed) { b.noteErr = errUnwritten }, want: errUnwritten},
		"rows are missing": {begin: func(b *bed) {
			b.change = func(s *fakeSource) { s.about.Rows++ }
		}},
		"a product is unknown": {begin: func(b *bed) {
			b.change = func(s *fakeSource) { s.products[0] = "p9" }
		}},
		"a product has no line": {begin: func(b *bed) {
			b.change = func(s *fakeSource) {
				s.spoil = func(r *snapshot.ProductRow) { r.Product = "p3"; r.Usage = snapshot.Usage{}; r.DevicesActive = 0 }
			}
		}, code: event.TotalsDiffer},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.devices = 15_000
			c.begin(b)
			_, err := b.make(Request{})
			var p *event.Problem
			switch {
			case err == nil, c.want != nil && !errors.Is(err, c.want):
				t.Fatalf("it is answered %v", err)
			case c.code != 0 && (!errors.As(err, &p) || p.Code != c.code):
				t.Fatalf("it is answered %v", err)
			}
			if got := b.files(); len(got) > 0 {
				t.Errorf("there are %q", got)
			}
			b.noteErr, b.change = nil, nil
			b.full.Store(false)
			if m := b.sealed(Request{}); m.Sequence != 1 || m.Rows != 30_000 {
				t.Errorf("the next is %+v", m)
			}
		})
	}
}

// TestUnknownFate has the append of the audit entry fail such that nobody knows whether it was written: the snapshot
// may stand in the audit log, so it is neither dropped nor is its number given again. A restart completes it.
func TestUnknownFate(t *testing.T) {
	for _, written := range []bool{false, true} {
		b := newBed(t)
		unknown := errors.New("the log has failed")
		_, err := b.Make(t.Context(), Request{Token: "bill", Note: func(action, target string, detail any) error {
			if written {
				must(t, b.note(action, target, detail))
			}
			return unknown
		}})
		if !errors.Is(err, unknown) || b.store.last() != nil {
			t.Errorf("it is answered %v, and the newest is %+v", err, b.store.last())
		}
		if _, err := b.make(Request{}); !errors.Is(err, unknown) || !strings.Contains(err.Error(), "restart the daemon") {
			t.Errorf("the next is answered %v", err)
		}
		b.open()
		must(t, b.completeAudit())
		m := b.store.last()
		if m == nil || m.ID != "s00000001" || len(b.notes) == 0 {
			t.Fatalf("after a restart the newest is %+v, and the audit log has %q", m, b.notes)
		}
		for _, note := range b.notes {
			if !strings.HasPrefix(note, "snapshot.create s00000001 ") || !strings.Contains(note, m.SHA256) {
				t.Errorf("the audit log has %s", note)
			}
		}
		if next := b.sealed(Request{}); next.Sequence != 2 || textOf(next.Previous) != m.SHA256 {
			t.Errorf("the next is %+v", next)
		}
	}
}

// TestPositionsFail has POSITIONS not be written: the snapshot is made, and in the audit log once.
func TestPositionsFail(t *testing.T) {
	b := newBed(t)
	inTheWay := filepath.Join(b.path, positionsName+disk.TmpSuffix)
	must(t, os.Mkdir(inTheWay, 0o700))
	first := b.sealed(Request{})
	second := b.sealed(Request{})
	must(t, os.Remove(inTheWay))
	b.sealed(Request{})
	b.open()
	must(t, b.completeAudit())
	if first.Sequence != 1 || textOf(second.Previous) != first.SHA256 || len(b.notes) != 3 || b.stats.failed.Load() != 0 {
		t.Errorf("they are %+v and %+v, and the audit log has %q", first, second, b.notes)
	}
}

// TestYields has the space run short while the files grow: the snapshot is given up before anything else is.
func TestYields(t *testing.T) {
	b := newBed(t)
	b.devices = roomEvery / 326 * 3 / 4 // Of each of two products, and 326 bytes of NDJSON a row.
	b.change = func(s *fakeSource) {
		s.failing = func(int) error {
			b.full.Store(true)
			return nil
		}
	}
	if p := problem(second(b.make(Request{}))); p == nil || p.Code != event.DiskFull {
		t.Errorf("it is answered %v", p)
	}
	if got := b.files(); len(got) > 0 || len(b.notes) > 0 {
		t.Errorf("there are %q and %q", got, b.notes)
	}
}

func second(_ *Manifest, err error) error { return err }

// TestOneAtATime has a snapshot wait, and too many be refused.
func TestOneAtATime(t *testing.T) {
	b := newBed(t)
	b.place <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	for range waitingMax + 1 {
		go func() {
			_, err := b.Make(ctx, Request{Note: b.note})
			results <- err
		}()
	}
	if p := problem(<-results); p == nil || p.Code != event.Overloaded {
		t.Errorf("one too many is answered %v", p)
	}
	cancel()
	for range waitingMax {
		if p := problem(<-results); p == nil || p.Code != event.Overloaded {
			t.Errorf("who went away is answered %v", p)
		}
	}
	<-b.place
	b.sealed(Request{})
}

// TestClose ends a snapshot that is being made: nothing is left of it, and no other is begun.
func TestClose(t *testing.T) {
	b := newBed(t)
	b.devices = 20_000
	closed := make(chan struct{})
	b.change = func(s *fakeSource) {
		s.failing = func(row int) error {
			if row == 10_000 {
				go func() {
					b.Close()
					close(closed)
				}()
				<-b.life.Done()
			}
			return nil
		}
	}
	if _, err := b.make(Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("it is answered %v", err)
	}
	<-closed
	if _, err := b.make(Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("another is answered %v", err)
	}
	if got := b.files(); len(got) > 0 {
		t.Errorf("there are %q", got)
	}
}

func problem(err error) *event.Problem {
	var p *event.Problem
	errors.As(err, &p)
	return p
}

// TestSealedElsewhere: sequences and the chain go on behind what another node has sealed, which lies there.
func TestSealedElsewhere(t *testing.T) {
	b := newBed(t)
	must(t, b.note(license.ActionSnapshotCreate, "s00000007", note{Sequence: 7, SHA256: "abc"}))
	first := b.sealed(Request{Period: "2026-11"})
	if first.ID != "s00000008" || textOf(first.Previous) != "abc" {
		t.Errorf("behind the seventh comes %s, which follows %q", first.ID, textOf(first.Previous))
	}
	second := b.sealed(Request{Period: "2026-11"})
	if second.ID != "s00000009" || textOf(second.Previous) != first.SHA256 {
		t.Errorf("then comes %s, which follows %q", second.ID, textOf(second.Previous))
	}
}

// While other nodes copy a snapshot that is sealed, others are made, and a backup is begun. Close ends the waiting.
func TestSpreadHoldsNobodyUp(t *testing.T) {
	b := newBed(t)
	spreading, left := make(chan struct{}), false
	b.o.Spread = func(ctx context.Context, m *Manifest) {
		if m.Sequence == 1 {
			close(spreading)
			<-ctx.Done()
			left = true
		}
	}
	made := make(chan error, 1)
	go func() {
		_, err := b.make(Request{})
		made <- err
	}()
	<-spreading
	if m := b.sealed(Request{}); m.Sequence != 2 {
		t.Errorf("the second is %d", m.Sequence)
	}
	let, err := b.Hold(t.Context(), func() error { return nil })
	must(t, err)
	let()
	b.Close()
	if !left {
		t.Error("it is closed before the waiting has ended")
	}
	must(t, <-made)
}
