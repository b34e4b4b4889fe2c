package license

import (
	"fmt"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// R8: crediting is idempotent by order number, and top-ups share the numbers.
func TestCreditIsIdempotent(t *testing.T) {
	for _, units := range []bool{false, true} {
		b := newBook(t)
		b.account("acme", Enterprise)
		b.product("p1", "acme", "")
		b.product("p2", "acme", "")
		credit := Credit{Order: "PO-1", Quantity: 10, Units: units}
		lot := b.credit("p1", credit)
		before := b.cat.dump()

		next, ch, again, err := b.cat.ApplyCredit(b.by(), "p1", credit)
		if next != nil || ch != nil || again != lot || err != nil {
			t.Errorf("the same order: %v, %v, %v, %v", next, ch, again, err)
		}
		for why, other := range map[string]Credit{
			"another quantity": {Order: "PO-1", Quantity: 11, Units: units},
			"the other kind":   {Order: "PO-1", Quantity: 10, Units: !units},
		} {
			next, ch, l, err := b.cat.ApplyCredit(b.by(), "p1", other)
			wantProblem(t, err, event.OrderReused, "order")
			if next != nil || ch != nil || l != nil {
				t.Errorf("%s: refused and credited all the same", why)
			}
		}
		if b.cat.dump() != before {
			t.Error("orders sent again changed something")
		}
		if l := b.credit("p2", credit); l == lot { // numbers are unique within a product
			t.Error("another product has the same lot")
		}
		b.credit("p1", Credit{Order: "PO-2", Quantity: 10, Units: units})
	}
}

// An order stays the same however often the product was upgraded since: what it says is what its request said.
func TestCreditIsIdempotentAcrossUpgrades(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	plan := patch(t, `{"messages_per_day":3000}`)
	credit := Credit{Order: "PO-1", Quantity: 10, Plan: &plan}
	lot := b.credit("p1", credit)
	for _, upgrade := range []string{
		`{}`, `{"ota_per_month":2}`, `{"messages_per_day":5000}`,
		`{"validity":"P9Y","log_days":7}`,
	} {
		b.setPlan("p1", upgrade)
		next, _, again, err := b.cat.ApplyCredit(b.by(), "p1", credit)
		if next != nil || again != lot || err != nil {
			t.Errorf("after the upgrade %s the same order gives %v, %v", upgrade, again, err)
		}
	}
}

func TestCreditPlan(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	named := func(s string) *PlanPatch { p := patch(t, s); return &p }

	b.credit(
		"p1",
		Credit{Order: "PO-1", Quantity: 1, Plan: named(`{"messages_per_day":100,"validity":"P1Y"}`)},
	) // R9: the first lot may name it
	p := b.get("p1")
	if p.Plan.MessagesPerDay != 100 || p.Plan.Validity != (calendar.Period{Years: 1}) || p.Plan.OTAPerMonth != 1 ||
		p.ValidityVersion() != 1 ||
		p.PlanSinceMs != b.atMs {
		t.Fatalf("the first lot named another plan: %+v", p)
	}
	b.credit("p1", Credit{Order: "PO-2", Quantity: 1, Plan: named(`{"messages_per_day":100}`)}) // the product's own
	b.credit("p1", Credit{Order: "PO-3", Quantity: 1, Plan: named(`{}`)})
	b.credit("p1", Credit{Order: "PO-4", Quantity: 1, Plan: &PlanPatch{}})

	tests := []struct {
		order, plan string
		code        event.Code
		field       string
	}{
		{"PO-5", `{"messages_per_day":101}`, event.PlanMismatch, "plan"}, // higher, too
		{"PO-5", `{"messages_per_day":99}`, event.PlanMismatch, "plan"},
		{"PO-5", `{"messages_per_day":100,"validity":"P2Y"}`, event.PlanMismatch, "plan"},
		{"PO-5", `{"messages_per_day":0}`, event.InvalidArgument, "plan.messages_per_day"},
		{"PO-5", `{"colour":"red"}`, event.UnknownField, "plan.colour"},
		{"PO-1", `{"messages_per_day":101}`, event.OrderReused, "order"},
		{"PO-1", `{}`, event.OrderReused, "order"},
		{"PO-3", `{"messages_per_day":100}`, event.OrderReused, "order"},
	}
	for _, tt := range tests {
		_, _, _, err := b.cat.ApplyCredit(b.by(), "p1", Credit{Order: tt.order, Quantity: 1, Plan: named(tt.plan)})
		wantProblem(t, err, tt.code, tt.field)
	}
	if got := b.get("p1").Licenses(); got != (Counts{Total: 4, Available: 4}) {
		t.Errorf("licences %+v", got)
	}
}

func TestCreditRefuses(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	for _, order := range badNames {
		_, _, _, err := b.cat.ApplyCredit(b.by(), "p1", Credit{Order: order, Quantity: 1})
		wantProblem(t, err, event.InvalidArgument, "order")
	}
	for _, n := range []uint64{0, 1_000_000_001, 1 << 32, 1<<64 - 1} {
		_, _, _, err := b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO", Quantity: n})
		wantProblem(t, err, event.InvalidArgument, "quantity")
		_, _, _, err = b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO", Quantity: n, Units: true})
		wantProblem(t, err, event.InvalidArgument, "units")
	}
}

// A product holds fewer than 2^32 licences, the gifts that it has drawn included. Packs have no such bound.
func TestCreditUpToTheMostLicenses(t *testing.T) {
	const most = uint64(1<<32 - 1)
	for _, gifts := range []uint64{0, 3} {
		b := newBook(t)
		b.account("acme", Enterprise)
		b.product("p1", "acme", "")
		for range gifts {
			b.take("p1")
		}
		for i := range 4 {
			b.credit("p1", Credit{Order: fmt.Sprintf("PO-%d", i), Quantity: 1_000_000_000})
		}
		left := most - 4_000_000_000 - gifts
		_, _, _, err := b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO-4", Quantity: left + 1})
		wantProblem(t, err, event.TooManyLicenses, "quantity")
		b.credit("p1", Credit{Order: "PO-4", Quantity: left})
		_, _, _, err = b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO-5", Quantity: 1})
		wantProblem(t, err, event.TooManyLicenses, "quantity")
		for i := range 10 {
			b.credit("p1", Credit{Order: fmt.Sprintf("PACK-%d", i), Quantity: 1_000_000_000, Units: true})
		}
		p := b.get("p1")
		if p.Licenses().Total != most || p.PackUnits() != 10_000_000_000 {
			t.Errorf("licences %+v, units %d", p.Licenses(), p.PackUnits())
		}
		// Its lots are used up: a gift would be one licence too many.
		for _, lot := range p.Lots {
			lot.Pool.Drawn = lot.Pool.Credited
		}
		if got := b.take("p1"); got != "" || p.LicensesLeft() {
			t.Errorf("%d gifts drawn, one more from %q", gifts, got)
		}
	}
}

// What was taken back is held no longer: others can be credited in its place, also after a restart.
func TestCreditInThePlaceOfWhatWasTakenBack(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	for i := range 10 {
		order := fmt.Sprintf("PO-%d", i)
		b.credit("p1", Credit{Order: order, Quantity: 1_000_000_000})
		next, ch, _, err := b.cat.TakeBack(b.by(), "p1", order, false, Void{Order: "RV-" + order, Quantity: 1_000_000_000})
		b.keep(next, ch, err)
	}
	loaded, err := b.load()
	if err != nil {
		t.Fatal(err)
	}
	for _, cat := range []*Catalogue{b.cat, loaded} {
		next, _, _, err := cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO", Quantity: 1_000_000_000})
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Product([]byte("p1")).Licenses(); got != (Counts{Total: 1_000_000_000, Available: 1_000_000_000}) {
			t.Errorf("licences %+v", got)
		}
	}
}
