package sealed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

// now is when most tests begin.
var now = time.Date(2026, 11, 23, 10, 0, 0, 500e6, time.UTC)

// errUnwritten is an error of note that says that nothing was written.
var errUnwritten = errors.New("the token was deleted")

// fakeSource has devices that are computed: device i of product p uses numbers that follow from both.
type fakeSource struct {
	about    snapshot.About
	products []string
	devices  int  // of each product
	scatter  bool // neighbours have nothing in common
	// spoil changes what is given, to see that it is noticed; fail ends Devices.
	spoil   func(*snapshot.ProductRow)
	failing func(row int) error
	closed  bool
}

func (s *fakeSource) About() snapshot.About { return s.about }

func (s *fakeSource) row(p, i int, r *snapshot.Row) {
	n := uint64(i*7919 + p*104729)
	if s.scatter {
		n = (n ^ n>>7) * 0x9E3779B97F4A7C15 >> 24
	}
	r.Product, r.Active = s.products[p], n%5 != 0
	r.Device = fmt.Appendf(r.Device[:0], "device-%08d", i)
	r.ActivatedS, r.ExpiresS = 1_790_000_000+int64(n%1_000_000), 1_950_000_000+int64(n%1_000_000)
	r.Usage = snapshot.Usage{
		MessagesUp: n % 40_000, MessagesDown: n % 3000, MessagesDenied: n % 11 / 10, OTAUnits: int64(n%4) - 1,
		OTATopupUnits: int64(n%3) - 1, OTADenied: n % 13 / 12, LicensesConsumed: n % 17 / 16,
	}
}

func (s *fakeSource) Devices(_ context.Context, fn func(*snapshot.Row) error) error {
	var r snapshot.Row
	n := 0
	for i := range s.devices {
		for p := range s.products {
			if s.failing != nil {
				if err := s.failing(n); err != nil {
					return err
				}
			}
			s.row(p, i, &r)
			if err := fn(&r); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

func (s *fakeSource) Products(_ context.Context, fn func(*snapshot.ProductRow) error) error {
	for p, name := range s.products {
		row := snapshot.ProductRow{
			Product: name, Account: "acme", Licenses: license.Counts{Total: 10, Used: 3, Available: 7},
			Plan: license.DefaultPlan(168 * time.Hour), PlanSinceMs: 1_790_000_000_123,
		}
		sum := product{}
		var r snapshot.Row
		for i := range s.devices {
			s.row(p, i, &r)
			sum.add(&r)
		}
		row.Usage, row.DevicesActive = sum.sum, sum.active
		if s.spoil != nil {
			s.spoil(&row)
		}
		if err := fn(&row); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeSource) Close() error { s.closed = true; return nil }

// bed is a Maker over fake sources, with a catalogue and an audit log that a test looks at.
type bed struct {
	prefix string // of ids
	*Maker
	t         testing.TB
	path      string
	now       time.Time
	catalogue *license.Catalogue
	notes     []string
	entries   []license.AuditEntry // the audit log
	noteErr   error
	devices   int
	change    func(*fakeSource)
	cuts      []string
	full      atomic.Bool // there is no room on the disk
	keep      time.Duration
	exportTo  string
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{t: t, path: t.TempDir(), now: now, devices: 3}
	b.catalogue = license.New("default", 168*time.Hour)
	b.account("acme")
	b.product("acme", "p1", "Asia/Shanghai")
	b.product("acme", "p2", "America/New_York")
	b.account("empty")
	b.open()
	return b
}

func (b *bed) open() {
	b.t.Helper()
	store, err := OpenStore(b.path, b.prefix, nil)
	must(b.t, err)
	b.Maker, err = NewMaker(Options{
		Store: store, Cut: b.cut, Catalogue: func() *license.Catalogue { return b.catalogue },
		NowMs: func() int64 { return b.now.UnixMilli() }, Note: b.note, Room: func(uint64) bool { return !b.full.Load() },
		Keep: b.keep, ExportTo: b.exportTo,
		Unwritten: func(err error) bool { return errors.Is(err, errUnwritten) }, Audit: b.audit,
	})
	must(b.t, err)
}

func (b *bed) actor() license.Actor { return license.Actor{Token: "t", AtMs: b.now.UnixMilli()} }

func (b *bed) account(name string) {
	b.t.Helper()
	next, _, _, err := b.catalogue.CreateAccount(b.actor(), name, "enterprise", "default")
	must(b.t, err)
	b.catalogue = next
}

func (b *bed) product(account, name, zone string) {
	b.t.Helper()
	next, _, _, err := b.catalogue.CreateProduct(b.actor(), license.ProductSpec{Account: account, Name: name, Zone: zone})
	must(b.t, err)
	b.catalogue = next
}

func (b *bed) cut(_ context.Context, account string, m uint32) (snapshot.Source, error) {
	b.cuts = append(b.cuts, account+"/"+calendar.MonthName(m))
	s := &fakeSource{devices: b.devices}
	final := true
	for _, p := range b.catalogue.Products(account) {
		s.products = append(s.products, p.Name)
		_, end := calendar.MonthBounds(m, p.Zone)
		final = final && b.now.UnixMilli() >= end
	}
	s.about = snapshot.About{
		Account: account, Month: m, Group: 42, AsOfMs: b.now.UnixMilli(), Final: final,
		Rows: uint64(len(s.products) * b.devices),
	}
	if b.change != nil {
		b.change(s)
	}
	return s, nil
}

func (b *bed) note(action, target string, detail any) error {
	if b.noteErr != nil {
		return b.noteErr
	}
	text, err := json.Marshal(detail)
	must(b.t, err)
	b.notes = append(b.notes, action+" "+target+" "+string(text))
	b.entries = append(b.entries, license.AuditEntry{
		Seq: uint64(len(b.entries) + 1), AtMs: b.now.UnixMilli(), Action: action, Target: target, Detail: text,
	})
	return nil
}

func (b *bed) audit(after uint64, fn func(license.AuditEntry) bool) error {
	for _, e := range b.entries[after:] {
		if !fn(e) {
			break
		}
	}
	return nil
}

func (b *bed) make(r Request) (*Manifest, error) {
	r.Note, r.Token = b.note, "bill"
	return b.Make(context.Background(), r)
}

// sealed makes a snapshot that must succeed.
func (b *bed) sealed(r Request) *Manifest {
	b.t.Helper()
	m, err := b.make(r)
	must(b.t, err)
	return m
}

// files lists what lies in the store, but for POSITIONS.
func (b *bed) files() (names []string) {
	b.t.Helper()
	must(b.t, filepath.WalkDir(b.path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != positionsName {
			name, _ := filepath.Rel(b.path, path)
			names = append(names, name)
		}
		return err
	}))
	return names
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
