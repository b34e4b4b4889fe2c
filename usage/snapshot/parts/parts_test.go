package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

// source is a part in memory.
type source struct {
	about    snapshot.About
	devices  []snapshot.Row
	products []snapshot.ProductRow
	fails    error
	closed   int
}

func (s *source) About() snapshot.About { return s.about }

func (s *source) Devices(_ context.Context, fn func(*snapshot.Row) error) error {
	for i := range s.devices {
		if err := fn(&s.devices[i]); err != nil {
			return err
		}
	}
	s.about.Rows = uint64(len(s.devices))
	return s.fails
}

func (s *source) Products(_ context.Context, fn func(*snapshot.ProductRow) error) error {
	for i := range s.products {
		if err := fn(&s.products[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) Close() error { s.closed++; return nil }

func newSource(t testing.TB, cell int, names ...string) *source {
	t.Helper()
	validity, err := calendar.ParsePeriod("P5Y")
	if err != nil {
		t.Fatal(err)
	}
	s := &source{about: snapshot.About{
		Month: 82, Group: uint64(40 + cell), AsOfMs: int64(1000 + cell), Final: true,
	}}
	for i, name := range names {
		n := uint64(cell*100 + i)
		u := snapshot.Usage{
			MessagesUp: n, MessagesDown: 1 << 60, MessagesDenied: 3, OTAUnits: -int64(n), OTATopupUnits: -5, OTADenied: 1,
			LicensesConsumed: 2,
		}
		for d := range 3 {
			s.devices = append(s.devices, snapshot.Row{
				Product: name, Device: []byte(fmt.Sprintf("d%d", d)), Active: d == 1, ActivatedS: -1, ExpiresS: 1 << 40, Usage: u,
			})
		}
		s.products = append(s.products, snapshot.ProductRow{
			Product: name, Account: "acme", DevicesActive: n,
			Licenses: license.Counts{Total: 9, Used: n, Available: 1},
			Plan: license.Plan{
				Validity: validity, MessagesPerDay: 16_000_000, OTAPerMonth: 1, OTAUnitBytes: 5 << 20, LogDays: 7,
			},
			PlanSinceMs: 123, Usage: u,
		})
	}
	return s
}

func utc(string) string { return "+05:45" }

// sent returns what a source is on the other side.
func sent(t testing.TB, s snapshot.Source) (*Part, []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(context.Background(), &b, s, utc); err != nil {
		t.Fatal(err)
	}
	p, err := Open(io.NopCloser(bytes.NewReader(b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	return p, b.Bytes()
}

// rowsOf reads a source to its end.
func rowsOf(s snapshot.Source) (devices []snapshot.Row, products []snapshot.ProductRow, err error) {
	err = s.Devices(context.Background(), func(r *snapshot.Row) error {
		row := *r
		row.Device = bytes.Clone(r.Device)
		devices = append(devices, row)
		return nil
	})
	if err == nil {
		err = s.Products(context.Background(), func(r *snapshot.ProductRow) error {
			products = append(products, *r)
			return nil
		})
	}
	return devices, products, err
}

// What arrives is what was sent.
func TestPart(t *testing.T) {
	s := newSource(t, 3, "a", "b")
	p, _ := sent(t, s)
	devices, products, err := rowsOf(p)
	if err != nil || !reflect.DeepEqual(devices, s.devices) || !reflect.DeepEqual(products, s.products) {
		t.Errorf("got %v\n%+v\n%+v", err, devices, products)
	}
	if p.About() != s.about {
		t.Errorf("about: %+v, want %+v", p.About(), s.about)
	}
	if zone, ok := p.Zone("b"); !ok || zone.String() != "+05:45" {
		t.Errorf("zone: %v", zone)
	}
}

// A stream that ends anywhere is no part.
func TestCut(t *testing.T) {
	_, b := sent(t, newSource(t, 1, "a", "b"))
	for n := range b {
		p, err := Open(io.NopCloser(bytes.NewReader(b[:n])))
		if err == nil {
			_, _, err = rowsOf(p)
		}
		if err == nil {
			t.Fatalf("%d bytes of %d are whole", n, len(b))
		}
	}
}

// What differs in a cell is refused with the same words.
func TestRefused(t *testing.T) {
	s := newSource(t, 1, "a")
	s.fails = fmt.Errorf("wrapped: %w", &snapshot.Difference{
		Product: "a", Field: "messages_up", Left: "rows", Right: "totals", LeftNumber: 1, RightNumber: 2,
	})
	p, _ := sent(t, s)
	w, err := Join([]snapshot.Source{newSource(t, 0, "z"), p})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = rowsOf(w)
	var d *snapshot.Difference
	if !errors.As(err, &d) || d.Error() != errors.Unwrap(s.fails).Error() {
		t.Errorf("got %v", err)
	}
	s = newSource(t, 1, "a")
	s.fails = errors.New("the disk is full")
	p, _ = sent(t, s)
	if _, _, err = rowsOf(p); err == nil || err.Error() != "its cell says: the disk is full" {
		t.Errorf("got %v", err)
	}
}

// The whole has the rows of all parts, and is over when all of them are.
func TestJoin(t *testing.T) {
	zero, one, two, none := newSource(t, 0, "b", "e"), newSource(t, 1, "a", "d"), newSource(t, 2, "c"), newSource(t, 3)
	none.about.Final = false // A cell without products cannot say.
	remote, _ := sent(t, one)
	empty, _ := sent(t, none)
	w, err := Join([]snapshot.Source{zero, remote, two, empty})
	if err != nil {
		t.Fatal(err)
	}
	devices, products, err := rowsOf(w)
	if err != nil || len(devices) != 15 {
		t.Errorf("%d devices, %v", len(devices), err)
	}
	names := ""
	for _, p := range products {
		names += p.Product
	}
	want := snapshot.About{Month: 82, Group: 40, AsOfMs: 1003, Final: true, Rows: 15}
	if names != "abcde" || w.About() != want {
		t.Errorf("products %s, about %+v", names, w.About())
	}
	if _, ok := w.Zone("a"); !ok {
		t.Error("a's zone is not known")
	}
	if err := w.Close(); err != nil || zero.closed != 1 || two.closed != 1 {
		t.Errorf("closed %d, %d: %v", zero.closed, two.closed, err)
	}
	two.about.Final = false
	if w.About().Final {
		t.Error("it is final, and its month is not over in one cell")
	}
	two.about.Month = 83
	if _, err := Join([]snapshot.Source{zero, two}); err == nil {
		t.Error("months were joined")
	}
}

func FuzzOpen(f *testing.F) {
	_, b := sent(f, newSource(f, 1, "a", "b"))
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		p, err := Open(io.NopCloser(bytes.NewReader(b)))
		if err == nil {
			_, _, _ = rowsOf(p) // It ends, whatever it is.
		}
	})
}
