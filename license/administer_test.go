package license

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
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
		if a != b.cat.Account(tt.name) || a.ID != uint32(i+1) || a.Kind != tt.kind || a.Region != "default" || a.Suspended ||
			a.CreatedAtMs != b.atMs {
			t.Errorf("%s: made %+v", tt.name, a)
		}
		if got := a.GiftCounts(); got != (Counts{Total: tt.gifts, Available: tt.gifts}) {
			t.Errorf("%s: gifts %+v, want %d", tt.name, got, tt.gifts)
		}
		if ch.Audit.Action != "account.create" || ch.Audit.Target != tt.name || ch.Audit.Token != "admin" ||
			ch.Audit.Seq != b.cat.Seq ||
			ch.Audit.AtMs != b.atMs {
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
	spec := ProductSpec{
		Name:    "p1",
		Account: "acme",
		Label:   strings.Repeat("ü", 128),
		Zone:    "Asia/Shanghai",
		Plan:    patch(t, `{"messages_per_day":null}`),
	}
	next, ch, p, err := b.cat.CreateProduct(b.by(), spec)
	b.keep(next, ch, err)
	want := DefaultPlan(week)
	want.MessagesPerDay = event.MessagesPerDayMax
	if p.ID != 1 || p.Plan != want || p.Zone.String() != "Asia/Shanghai" || p.Label != spec.Label || p.Account != "acme" ||
		p.AccountID != a.ID ||
		p.Gifts != a.Gifts ||
		p.State.Account != a.State ||
		p.PlanSinceMs != b.atMs ||
		p.CreatedAtMs != b.atMs ||
		b.cat.Scope(p) != event.ScopeNone {
		t.Errorf("made %+v", p)
	}
	if !slices.Equal(p.Validities, []ValidityStep{{FromS: b.atMs / 1000, Validity: calendar.Period{Years: 5}}}) ||
		p.ValidityVersion() != 0 {
		t.Errorf("validities %+v", p.Validities)
	}
	second := b.product("p2", "acme", "")
	if second.ID != 2 || b.cat.ProductByID(2) != second || b.cat.ProductByID(1) != p || b.cat.ProductByID(0) != nil ||
		b.cat.ProductByID(3) != nil ||
		b.cat.ProductByID(1<<31) != nil ||
		b.cat.ProductIDMax() != 2 {
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
	b.setPlan(
		"p1",
		`{"messages_per_day":1500,"validity":"P1Y","ota_per_month":0,"log_days":1,"message_unit_bytes":64,`+
			`"ota_unit_bytes":1024}`,
	)
	if p := b.get(
		"p1",
	); p.Plan.MessagesPerDay != 1500 || p.PlanSinceMs != b.atMs || p.ValidityVersion() != 1 ||
		p.Validities[1].FromS != b.atMs/1000 {
		t.Errorf("a free plan was not lowered: %+v", p)
	}
	b.credit("p1", Credit{Order: "PACK", Quantity: 1, Units: true})
	b.setPlan("p1", `{"messages_per_day":1499}`) // a pack is no licence
	b.setPlan("p1", `{"messages_per_day":1500}`)
	b.credit("p1", Credit{Order: "LOT", Quantity: 1})

	since = b.get("p1").PlanSinceMs
	lower := map[string]string{
		"validity":           `"PT1S"`,
		"messages_per_day":   `1499`,
		"ota_unit_bytes":     `1025`,
		"log_days":           `1`,
		"message_unit_bytes": `64`,
		"ota_per_month":      `0`,
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
	_, _, _, err = b.cat.SetPlan(
		b.by(),
		"p1",
		patch(t, `{"messages_per_day":1,"validity":"P9Y"}`),
	) // one higher does not excuse one lower
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
	_, _, _, err = c.CreateProduct(
		Actor{},
		ProductSpec{Name: "p1", Account: "acme", Zone: "UTC", Plan: patch(t, `{"log_days":1}`)},
	)
	wantProblem(t, err, event.InvalidArgument, "plan.log_days")
}
