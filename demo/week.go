package demo

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
)

// What people did during the week, and when. Day 0 is the day on which the week begins, and what it begins with is done
// at once; the other times are those of the customer's clock.

// deed is something that somebody does: a change of administration, or the roll-out of a firmware package.
type deed struct {
	at      time.Time
	change  shard.ChangeFunc
	rollOut func(*fleet)
}

const (
	huaxin   = "huaxin-energy"
	nordwind = "nordwind"
	pacific  = "pacific-cycles"
	lihua    = "lihua-farm"
	playing  = "demo" // an account and a product for whoever tries meterd

	// gatewayToken is the name of the token of the demo's gateways.
	gatewayToken = "demo-gateways"
)

// deeds returns the week's, in their order.
func deeds(o *Options) []deed {
	list := beginning(o)
	for i := range list {
		list[i].at = o.Begin.Add(time.Duration(i+1) * 700 * time.Millisecond)
	}
	on := func(day int, clock, zone string, change shard.ChangeFunc) {
		list = append(list, deed{at: o.clock(day, clock, zone), change: change})
	}
	firmware := func(day int, clock string, r rollOut) {
		at := o.clock(day, clock, r.zone)
		list = append(list, deed{at: at, rollOut: func(f *fleet) { r.plan(f, at) }})
	}
	on(1, "10:05", shanghai, credit(smartMeter, "PO-1050", 40, true))
	on(1, "15:30", losAngeles, takeBack(sharedBike, "PC-42", "RV-0012", 20))
	on(2, "09:40", berlin, credit(rentalTracker, "NW-7010", 45, false))
	on(2, "11:15", berlin, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.SetRenewal(by, rentalTracker, true, []string{"RT-0007"}))
	})
	firmware(2, "22:00", rollOut{smartMeter, shanghai, "meter-3.2.0", 3_700_000, 80})
	on(3, "14:10", shanghai, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.Certify(by, lihua))
	})
	on(3, "10:45", berlin, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.SuspendDevice(by, rentalTracker, "RT-0013", true)
	})
	on(4, "10:20", shanghai, upgrade(smartMeter, `{"messages_per_day":2000}`))
	firmware(4, "13:00", rollOut{rentalTracker, berlin, "tracker-1.9.1", 6_200_000, 44})
	firmware(5, "22:30", rollOut{smartMeter, shanghai, "meter-3.2.1", 4_100_000, 90})
	on(6, "08:10", losAngeles, credit(sharedBike, "PC-57", 30, false))
	on(6, "09:25", shanghai, credit(smartMeter, "PO-1067", 60, true))
	list = slices.DeleteFunc(list, func(d deed) bool { return !d.at.Before(o.End) })
	slices.SortStableFunc(list, func(a, b deed) int { return a.at.Compare(b.at) })
	return list
}

// beginning is what the week begins with.
func beginning(o *Options) (list []deed) {
	do := func(changes ...shard.ChangeFunc) {
		for _, c := range changes {
			list = append(list, deed{change: c})
		}
	}
	do(
		account(huaxin, license.Enterprise),
		product(huaxin, smartMeter, "智能电表 Smart meter", shanghai, `{"validity":"P5Y","messages_per_day":1500}`),
		credit(smartMeter, "PO-1041", 150, false),
		account(pacific, license.Enterprise),
		product(pacific, sharedBike, "Bike lock", losAngeles, `{"validity":"P30D","messages_per_day":1000}`),
		credit(sharedBike, "PC-42", 170, false),
		account(nordwind, license.Enterprise),
		product(nordwind, rentalTracker, "Rental tracker", berlin, `{"validity":"P5D","messages_per_day":800}`),
		credit(rentalTracker, "NW-7001", 70, false),
		credit(rentalTracker, "NW-7002", 25, true),
		account(lihua, license.Personal),
		product(lihua, greenhouse, "温室传感器 Greenhouse sensor", shanghai, `{"validity":"P1Y","messages_per_day":500}`),
		account(playing, license.Personal),
		product(playing, playing, "Demo product", o.Zone, `{}`),
		credit(playing, "DEMO-LOT", 1000, false),
		credit(playing, "DEMO-PACK", 100, true),
		token(access.Token{Name: gatewayToken, Role: access.RoleGateway, Hash: sha256.Sum256([]byte(o.Token))}),
	)
	return list
}

// clock returns a time of day in a time zone, so many days after the week began.
func (o *Options) clock(day int, clock, zone string) time.Time {
	where, err := calendar.ParseZone(zone)
	if err != nil {
		panic("BUG: the demo names a time zone that is none: " + err.Error())
	}
	at, err := time.Parse("15:04", clock)
	if err != nil {
		panic("BUG: the demo names a time that is none: " + err.Error())
	}
	t := o.Begin.In(where)
	return time.Date(t.Year(), t.Month(), t.Day()+day, at.Hour(), at.Minute(), 0, 0, where)
}

// only drops what a change made.
func only[T any](c *license.Catalogue, ch *license.Change, _ T, err error) (
	*license.Catalogue, *license.Change, error,
) {
	return c, ch, err
}

func account(name, kind string) shard.ChangeFunc {
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.CreateAccount(by, name, kind, ""))
	}
}

func product(account, name, label, zone, plan string) shard.ChangeFunc {
	spec := license.ProductSpec{Name: name, Account: account, Label: label, Zone: zone, Plan: planOf(plan)}
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.CreateProduct(by, spec))
	}
}

func credit(product, order string, quantity uint64, units bool) shard.ChangeFunc {
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: quantity, Units: units}))
	}
}

func takeBack(product, lot, order string, quantity uint64) shard.ChangeFunc {
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.TakeBack(by, product, lot, false, license.Void{Order: order, Quantity: quantity}))
	}
}

func upgrade(product, plan string) shard.ChangeFunc {
	patch := planOf(plan)
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return only(c.SetPlan(by, product, patch))
	}
}

func token(t access.Token) shard.ChangeFunc {
	return func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.CreateToken(by, t)
	}
}

func planOf(text string) (p license.PlanPatch) {
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic("BUG: the demo has a plan that is none: " + err.Error())
	}
	return p
}
