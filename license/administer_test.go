package license

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"pgregory.net/rapid"
)

var badNames = []string{"", " ", "a b", "a/b", "ü", "a\x00", "a\n", strings.Repeat("x", 65), "a,b", "{}"}

func TestCreateAccount(t *testing.T) {
	b := newBook(t)
	tests := []struct {
		name, kind, region string
		gifts              uint64
	}{
		{"ada", Personal, "", 5}, // R6
		{"acme", Enterprise, "", 10},
		{"here", Personal, "default", 5},
		{strings.Repeat("x", 64), Personal, "", 5},
		{"A-Z.a_z:0-9", Enterprise, "default", 10},
	}
	for i, tt := range tests {
		next, ch, a, err := b.cat.CreateAccount(b.by(), tt.name, tt.kind, tt.region)
		b.keep(next, ch, err)
		if a != b.cat.Account(tt.name) || a.ID != uint32(i+1) || a.Kind != tt.kind || a.Region != "default" || a.Suspended || a.CreatedAtMs != b.atMs {
			t.Errorf("%s: made %+v", tt.name, a)
		}
		if got := a.GiftCounts(); got != (Counts{Total: tt.gifts, Available: tt.gifts}) {
			t.Errorf("%s: gifts %+v, want %d", tt.name, got, tt.gifts)
		}
		if ch.Audit.Action != "account.create" || ch.Audit.Target != tt.name || ch.Audit.Token != "admin" || ch.Audit.Seq != b.cat.Seq || ch.Audit.AtMs != b.atMs {
			t.Errorf("%s: audit %+v", tt.name, ch.Audit)
		}
	}
}

func TestCreateAccountRefuses(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	tests := []struct {
		name, kind, region string
		code               event.Code
		field              string
	}{
		{"acme", Personal, "", event.AlreadyExists, ""},
		{"acme", Enterprise, "default", event.AlreadyExists, ""},
		{"ada", "", "", event.InvalidArgument, "kind"},
		{"ada", "Personal", "", event.InvalidArgument, "kind"},
		{"ada", "company", "", event.InvalidArgument, "kind"},
		{"ada", Personal, "eu-1", event.OtherRegion, "region"}, // R7
		{"acme", Personal, "eu-1", event.OtherRegion, "region"},
	}
	for _, name := range badNames {
		tests = append(tests, struct {
			name, kind, region string
			code               event.Code
			field              string
		}{name, Personal, "", event.InvalidArgument, "account"})
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%q %s %s", tt.name, tt.kind, tt.region), func(t *testing.T) {
			next, ch, a, err := b.cat.CreateAccount(b.by(), tt.name, tt.kind, tt.region)
			wantProblem(t, err, tt.code, tt.field)
			if next != nil || ch != nil || a != nil {
				t.Error("refused and made all the same")
			}
		})
	}
}

func TestCreateProduct(t *testing.T) {
	b := newBook(t)
	a := b.account("acme", Enterprise)
	spec := ProductSpec{Name: "p1", Account: "acme", Label: strings.Repeat("ü", 128), Zone: "Asia/Shanghai", Plan: patch(t, `{"messages_per_day":null}`)}
	next, ch, p, err := b.cat.CreateProduct(b.by(), spec)
	b.keep(next, ch, err)
	want := DefaultPlan(week)
	want.MessagesPerDay = event.MessagesPerDayMax
	if p.ID != 1 || p.Plan != want || p.Zone.String() != "Asia/Shanghai" || p.Label != spec.Label || p.Account != "acme" || p.AccountID != a.ID ||
		p.Gifts != a.Gifts || p.State.Account != a.State || p.PlanSinceMs != b.atMs || p.CreatedAtMs != b.atMs || p.Scope != event.ScopeNone {
		t.Errorf("made %+v", p)
	}
	if !slices.Equal(p.Validities, []ValidityStep{{FromS: b.atMs / 1000, Validity: Period{Years: 5}}}) || p.ValidityVersion() != 0 {
		t.Errorf("validities %+v", p.Validities)
	}
	second := b.product("p2", "acme", "")
	if second.ID != 2 || b.cat.ProductByID(2) != second || b.cat.ProductByID(1) != p || b.cat.ProductByID(0) != nil || b.cat.ProductByID(3) != nil ||
		b.cat.ProductByID(1<<31) != nil || b.cat.ProductIDMax() != 2 {
		t.Error("ordinals do not find their products")
	}
	if b.get("p1") != p || b.get("p3") != nil {
		t.Error("names do not find their products")
	}
	name := []byte("p2")
	if n := testing.AllocsPerRun(100, func() { b.cat.Product(name) }); n != 0 {
		t.Errorf("%v allocations to find a product", n)
	}
}

func TestCreateProductRefuses(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	good := ProductSpec{Name: "p2", Account: "acme", Zone: "UTC"}
	tests := []struct {
		why   string
		spec  func(*ProductSpec)
		code  event.Code
		field string
	}{
		{"its name is taken", func(s *ProductSpec) { s.Name = "p1" }, event.AlreadyExists, ""},
		{"no such account", func(s *ProductSpec) { s.Account = "nobody" }, event.NotFound, "account"},
		{"no account", func(s *ProductSpec) { s.Account = "" }, event.NotFound, "account"},
		{"no such zone", func(s *ProductSpec) { s.Zone = "Mars" }, event.InvalidArgument, "time_zone"},
		{"the machine's zone", func(s *ProductSpec) { s.Zone = "Local" }, event.InvalidArgument, "time_zone"},
		{"no zone", func(s *ProductSpec) { s.Zone = "" }, event.InvalidArgument, "time_zone"},
		{"a long label", func(s *ProductSpec) { s.Label = strings.Repeat("x", 257) }, event.InvalidArgument, "name"},
		{"a bad plan", func(s *ProductSpec) { s.Plan = patch(t, `{"log_days":8}`) }, event.InvalidArgument, "plan.log_days"},
		{"an unknown value", func(s *ProductSpec) { s.Plan = patch(t, `{"price":8}`) }, event.UnknownField, "plan.price"},
	}
	for _, name := range badNames {
		tests = append(tests, struct {
			why   string
			spec  func(*ProductSpec)
			code  event.Code
			field string
		}{fmt.Sprintf("the name %q", name), func(s *ProductSpec) { s.Name = name }, event.InvalidArgument, "product"})
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			spec := good
			tt.spec(&spec)
			next, ch, p, err := b.cat.CreateProduct(b.by(), spec)
			wantProblem(t, err, tt.code, tt.field)
			if next != nil || ch != nil || p != nil {
				t.Error("refused and made all the same")
			}
		})
	}
}

// R9: free until the first lot, then upwards only.
func TestSetPlan(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", `{"messages_per_day":3000,"validity":"P5Y"}`)
	since := b.get("p1").PlanSinceMs

	b.setPlan("p1", `{}`)
	if p := b.get("p1"); p.PlanSinceMs != since || len(p.Validities) != 1 {
		t.Errorf("nothing changed, but the plan is new: %+v", p)
	}
	b.setPlan("p1", `{"messages_per_day":1500,"validity":"P1Y","ota_per_month":0,"log_days":1,"message_unit_bytes":64,"ota_unit_bytes":1024}`)
	if p := b.get("p1"); p.Plan.MessagesPerDay != 1500 || p.PlanSinceMs != b.atMs || p.ValidityVersion() != 1 || p.Validities[1].FromS != b.atMs/1000 {
		t.Errorf("a free plan was not lowered: %+v", p)
	}
	b.credit("p1", Credit{Order: "PACK", Quantity: 1, Units: true})
	b.setPlan("p1", `{"messages_per_day":1499}`) // a pack is no licence
	b.setPlan("p1", `{"messages_per_day":1500}`)
	b.credit("p1", Credit{Order: "LOT", Quantity: 1})

	since = b.get("p1").PlanSinceMs
	lower := map[string]string{
		"validity": `"PT1S"`, "messages_per_day": `1499`, "ota_unit_bytes": `1025`, "log_days": `1`, "message_unit_bytes": `64`, "ota_per_month": `0`,
	}
	b.setPlan("p1", `{"ota_unit_bytes":2048,"log_days":2,"message_unit_bytes":65,"ota_per_month":1}`)
	for _, name := range sortedKeys(lower) {
		next, _, _, err := b.cat.SetPlan(b.by(), "p1", patch(t, `{"`+name+`":`+lower[name]+`}`))
		wantProblem(t, err, event.PlanDowngrade, "plan."+name)
		if next != nil {
			t.Errorf("%s was refused and lowered all the same", name)
		}
	}
	if p := b.get("p1"); p.PlanSinceMs == since || p.ValidityVersion() != 1 {
		t.Errorf("an upgrade without validity made a new version of it: %+v", p)
	}
	b.setPlan("p1", `{"messages_per_day":3000,"validity":"P2Y"}`)
	if p := b.get("p1"); p.Plan.MessagesPerDay != 3000 || p.ValidityVersion() != 2 {
		t.Errorf("the upgrade did not happen: %+v", p)
	}
	_, _, _, err := b.cat.SetPlan(b.by(), "p1", patch(t, `{"messages_per_day":0}`))
	wantProblem(t, err, event.InvalidArgument, "plan.messages_per_day")
	_, _, _, err = b.cat.SetPlan(b.by(), "p1", patch(t, `{"colour":0}`))
	wantProblem(t, err, event.UnknownField, "plan.colour")
	_, _, _, err = b.cat.SetPlan(b.by(), "p1", patch(t, `{"messages_per_day":1,"validity":"P9Y"}`)) // one higher does not excuse one lower
	wantProblem(t, err, event.PlanDowngrade, "plan.messages_per_day")
}

// The device table has ten bits for the version of a validity.
func TestSetPlanHasRoomForSoManyValidities(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	for i := 1; i < validitiesMax; i++ {
		b.setPlan("p1", fmt.Sprintf(`{"validity":"P%dD"}`, i))
	}
	if v := b.get("p1").ValidityVersion(); v != 1023 {
		t.Fatalf("the last version is %d", v)
	}
	_, _, _, err := b.cat.SetPlan(b.by(), "p1", patch(t, `{"validity":"P9Y"}`))
	wantProblem(t, err, event.InvalidArgument, "plan.validity")
	b.setPlan("p1", `{"messages_per_day":1}`) // other values may change on
}

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
	for _, upgrade := range []string{`{}`, `{"ota_per_month":2}`, `{"messages_per_day":5000}`, `{"validity":"P9Y","log_days":7}`} {
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

	b.credit("p1", Credit{Order: "PO-1", Quantity: 1, Plan: named(`{"messages_per_day":100,"validity":"P1Y"}`)}) // R9: the first lot may name it
	p := b.get("p1")
	if p.Plan.MessagesPerDay != 100 || p.Plan.Validity != (Period{Years: 1}) || p.Plan.OTAPerMonth != 1 || p.ValidityVersion() != 1 || p.PlanSinceMs != b.atMs {
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

// A product holds fewer than 2^32 licences, the gifts that it may draw included. Packs have no such bound.
func TestCreditUpToTheMostLicenses(t *testing.T) {
	b := newBook(t)
	b.account("acme", Enterprise)
	b.product("p1", "acme", "")
	const most = uint64(1<<32 - 1 - 10)
	for i := range 4 {
		b.credit("p1", Credit{Order: fmt.Sprintf("PO-%d", i), Quantity: 1_000_000_000})
	}
	_, _, _, err := b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO-4", Quantity: most - 4_000_000_000 + 1})
	wantProblem(t, err, event.TooManyLicenses, "quantity")
	b.credit("p1", Credit{Order: "PO-4", Quantity: most - 4_000_000_000})
	_, _, _, err = b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "PO-5", Quantity: 1})
	wantProblem(t, err, event.TooManyLicenses, "quantity")
	for i := range 10 {
		b.credit("p1", Credit{Order: fmt.Sprintf("PACK-%d", i), Quantity: 1_000_000_000, Units: true})
	}
	if got := b.get("p1"); got.Licenses().Total != most || got.PackUnits() != 10_000_000_000 {
		t.Errorf("licences %+v, units %d", got.Licenses(), got.PackUnits())
	}
}

// Whoever holds a catalogue sees what he saw, whatever is changed after it: that makes an upgrade uniform (R9).
func TestCatalogueIsImmutable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(t)
		var kept []*Catalogue
		var dumps []string
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			kept, dumps = append(kept, b.cat), append(dumps, b.cat.dump())
			b.change(rt)
		}
		for i, c := range kept {
			if got := c.dump(); got != dumps[i] {
				rt.Fatalf("catalogue %d changed from\n%s\nto\n%s", i, dumps[i], got)
			}
		}
	})
}

// change makes a random change: refused ones change nothing, which is a part of the tests that use it.
func (b *book) change(t *rapid.T) {
	draw := func(list ...string) string { return rapid.SampledFrom(list).Draw(t, "word") }
	before := b.cat
	seq := before.Seq
	var next *Catalogue
	var ch *Change
	var err error
	plan := patch(t, draw(
		``, `{"messages_per_day":null}`, `{"messages_per_day":10}`, `{"validity":"P9Y"}`, `{"validity":"PT10S"}`, `{"message_unit_bytes":64}`,
		`{"log_days":1}`, `{"ota_per_month":7,"ota_unit_bytes":1048576}`,
	))
	product := draw("p1", "p2", "p3")
	switch draw("account", "product", "product", "plan", "plan", "credit", "credit", "credit", "void", "token", "switch", "note") {
	case "account":
		next, ch, _, err = b.cat.CreateAccount(b.by(), draw("acme", "ada", "bob"), draw(Personal, Enterprise), "")
	case "product":
		next, ch, _, err = b.cat.CreateProduct(b.by(), ProductSpec{
			Name: product, Account: draw("acme", "ada", "bob"), Label: draw("", "Ein Gerät", "\x1b\u2028<b>"), Plan: plan,
			Zone: draw("UTC", "Asia/Shanghai", "+05:45", "America/Havana"),
		})
	case "plan":
		if b.get(product) == nil {
			return
		}
		next, ch, _, err = b.cat.SetPlan(b.by(), product, plan)
	case "credit":
		if b.get(product) == nil {
			return
		}
		next, ch, _, err = b.cat.ApplyCredit(b.by(), product, Credit{
			Order: draw("PO-1", "PO-2", "PO-3", "PO-4", "PO-5"), Quantity: rapid.Uint64Range(1, 3).Draw(t, "quantity"),
			Units: rapid.Bool().Draw(t, "units"), Plan: &plan,
		})
	case "void":
		if b.get(product) == nil {
			return
		}
		void := Void{Order: draw("RV-1", "RV-2", "PO-5"), Quantity: rapid.Uint64Range(1, 3).Draw(t, "quantity")}
		next, ch, _, err = b.cat.TakeBack(b.by(), product, draw("PO-1", "PO-2", "PO-3"), rapid.Bool().Draw(t, "units"), void)
	case "token":
		if name := draw("gw-1", "gw-2"); b.cat.Token(name) != nil {
			next, ch, err = b.cat.DeleteToken(b.by(), name)
		} else {
			next, ch, err = b.cat.CreateToken(b.by(), Token{
				Name: name, Role: RoleGateway, Account: draw("", "acme"), ExpiresAtMs: rapid.Int64Range(0, 9).Draw(t, "expires"),
				Hash: sha256.Sum256([]byte(NewSecret())),
			})
		}
	case "switch":
		next, ch, err = b.flip(t, product)
	case "note":
		next, ch = b.cat.Note(b.by(), "clock.confirm", "", nil)
	}
	switch {
	case err != nil || next == nil:
		if next != nil || ch != nil || before.Seq != seq {
			t.Fatalf("refused with %v and changed all the same", err)
		}
		return
	case next.Seq != seq+1 || ch.Audit.Seq != next.Seq:
		t.Fatalf("control sequence %d follows %d, audited as %d", next.Seq, seq, ch.Audit.Seq)
	}
	b.keep(next, ch, err)
}

// flip makes a random change that is one switch of an account or a product.
func (b *book) flip(t *rapid.T, product string) (next *Catalogue, ch *Change, err error) {
	account, on := rapid.SampledFrom([]string{"acme", "ada", "bob"}).Draw(t, "account"), rapid.Bool().Draw(t, "on")
	which := rapid.SampledFrom([]string{"certify", "account", "product", "renewal"}).Draw(t, "switch")
	switch {
	case b.cat.Account(account) == nil || b.get(product) == nil:
	case which == "certify":
		next, ch, _, err = b.cat.Certify(b.by(), account)
	case which == "account":
		next, ch, _, err = b.cat.SuspendAccount(b.by(), account, on)
	case which == "product":
		next, ch, _, err = b.cat.SuspendProduct(b.by(), product, on)
	case which == "renewal":
		next, ch, _, err = b.cat.SetRenewal(b.by(), product, on, rapid.SliceOfNDistinct(rapid.StringMatching(`d[0-9]`), 0, 3, rapid.ID).Draw(t, "except"))
	}
	return next, ch, err
}

func TestLists(t *testing.T) {
	b := newBook(t)
	for _, name := range []string{"zoe", "ada", "moe"} {
		b.account(name, Personal)
	}
	b.product("p9", "ada", "")
	b.product("p1", "zoe", "")
	b.product("p5", "ada", "")
	var accounts, all, ada []string
	for _, a := range b.cat.Accounts() {
		accounts = append(accounts, a.Name)
	}
	for _, p := range b.cat.Products("") {
		all = append(all, p.Name)
	}
	for _, p := range b.cat.Products("ada") {
		ada = append(ada, p.Name)
	}
	if !slices.Equal(accounts, []string{"ada", "moe", "zoe"}) || !slices.Equal(all, []string{"p1", "p5", "p9"}) || !slices.Equal(ada, []string{"p5", "p9"}) {
		t.Errorf("accounts %v, products %v, of ada %v", accounts, all, ada)
	}
	if got := b.cat.Products("nobody"); got != nil {
		t.Errorf("nobody has %v", got)
	}
}

// A daemon that keeps the log for less than a day gives plans without log days.
func TestCreateProductUnderShortRetention(t *testing.T) {
	c := New("default", 10*time.Second)
	c, _, _, err := c.CreateAccount(Actor{}, "acme", Personal, "")
	if err != nil {
		t.Fatal(err)
	}
	_, _, p, err := c.CreateProduct(Actor{}, ProductSpec{Name: "p1", Account: "acme", Zone: "UTC"})
	if err != nil || p.Plan.LogDays != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	_, _, _, err = c.CreateProduct(Actor{}, ProductSpec{Name: "p1", Account: "acme", Zone: "UTC", Plan: patch(t, `{"log_days":1}`)})
	wantProblem(t, err, event.InvalidArgument, "plan.log_days")
}
