package license

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// Gifts of each kind of account (R6).
const (
	giftsPersonal   = 5
	giftsEnterprise = 10
)

// Bounds of administration.
const (
	quantityMax     = 1_000_000_000
	licensesMax     = 1<<32 - 1 // of a product: fewer than 2^32
	accountNameText = "account"
)

// CreateAccount adds an account with the gifts of its kind (R6). An account of another region is refused (R7).
func (c *Catalogue) CreateAccount(by Actor, name, kind, region string) (*Catalogue, *Change, *Account, error) {
	switch {
	case !event.ValidName([]byte(name)):
		return nil, nil, nil, badName(accountNameText)
	case kind != Personal && kind != Enterprise:
		return nil, nil, nil, invalid("kind", "must be personal or enterprise")
	case region != "" && region != c.Region:
		return nil, nil, nil, &event.Problem{
			Code: event.OtherRegion, Field: "region",
			Detail: fmt.Sprintf("region: this data centre is %s; the account belongs to %s", c.Region, region),
		}
	case c.Account(name) != nil:
		return nil, nil, nil, alreadyExists(NameAccount, name)
	case c.accounts.Len() >= accountsMax:
		return nil, nil, nil, invalid(accountNameText, fmt.Sprintf(
			"this daemon holds %d accounts, the most it can; give further customers another daemon", accountsMax))
	}
	if err := c.mayName(by, NameAccount, name); err != nil {
		return nil, nil, nil, err
	}
	n := c.next()
	a := &Account{
		ID: uint32(n.accountsByID.Len()), Name: name, Kind: kind, Region: c.Region, CreatedAtMs: by.AtMs,
		State: &AccountState{}, gifted: giftsPersonal,
	}
	if kind == Enterprise {
		a.gifted = giftsEnterprise
	}
	a.Gifts = n.newPool(a.gifted)
	n.putAccount(a)
	ch := n.change(by, "account.create", name, map[string]any{"kind": kind, "region": c.Region})
	ch.put(a.record())
	return n, ch, a, nil
}

// newPool returns a pool with the next number.
func (n *Catalogue) newPool(credited uint64) *Pool {
	if n.poolLast >= poolsMax {
		panic("BUG: more pools than the device table has bits for")
	}
	n.poolLast++
	p := &Pool{ID: n.poolLast, Credited: credited}
	n.pools.put(p)
	return p
}

// ProductSpec is what a new product is made of. An empty Zone means the daemon's.
type ProductSpec struct {
	Name, Account, Label, Zone string
	Plan                       PlanPatch
}

// CreateProduct adds a product. Its account and time zone never change.
func (c *Catalogue) CreateProduct(by Actor, spec ProductSpec) (*Catalogue, *Change, *Product, error) {
	if !event.ValidName([]byte(spec.Name)) {
		return nil, nil, nil, badName("product")
	}
	if len(spec.Label) > labelBytesMax {
		return nil, nil, nil, invalid("name", fmt.Sprintf("must be at most %d bytes", labelBytesMax))
	}
	a := c.Account(spec.Account)
	if a == nil {
		return nil, nil, nil, &event.Problem{
			Code:   event.NotFound,
			Field:  accountNameText,
			Detail: "account: there is none called " + spec.Account,
		}
	}
	zone, err := calendar.ParseZone(spec.Zone)
	if err != nil {
		return nil, nil, nil, invalid("time_zone", err.Error())
	}
	plan, err := spec.Plan.Apply(DefaultPlan(c.Retention), c.Retention)
	if err != nil {
		return nil, nil, nil, err
	}
	if c.Product([]byte(spec.Name)) != nil {
		return nil, nil, nil, alreadyExists(NameProduct, spec.Name)
	}
	if c.products.Len() >= productsMax {
		return nil, nil, nil, invalid("product", fmt.Sprintf(
			"this daemon holds %d products, the most it can; create further ones on another daemon", productsMax))
	}
	if err := c.mayName(by, NameProduct, spec.Name); err != nil {
		return nil, nil, nil, err
	}
	n := c.next()
	p := &Product{
		ID: uint32(n.productsByID.Len()), Name: spec.Name, Label: spec.Label, Account: a.Name, AccountID: a.ID,
		ZoneName: spec.Zone, Zone: zone, Plan: plan, PlanSinceMs: by.AtMs,
		Validities:  []ValidityStep{{FromS: by.AtMs / 1000, Validity: plan.Validity}},
		CreatedAtMs: by.AtMs, Gifts: a.Gifts, State: &ProductState{Account: a.State}, AutoRenew: true,
		orders: newOrders(n.seed),
	}
	owner := *a
	owner.products = append(slices.Clip(a.products), p.ID)
	n.putAccount(&owner)
	n.putProduct(p)
	ch := n.change(
		by, actionCreateProduct, p.Name, map[string]any{"account": a.Name, "time_zone": p.ZoneName, "plan": plan},
	)
	ch.put(p.record())
	return n, ch, p, nil
}

// SetPlan gives a product a new plan. Once licences were credited no value may be lowered (R9).
func (c *Catalogue) SetPlan(by Actor, product string, patch PlanPatch) (*Catalogue, *Change, *Product, error) {
	old := c.Product([]byte(product))
	plan, err := patch.Apply(old.Plan, c.Retention)
	if err != nil {
		return nil, nil, nil, err
	}
	if lowered := old.Plan.Downgrade(&plan); len(old.Lots) > 0 && len(lowered) > 0 {
		return nil, nil, nil, &event.Problem{
			Code: event.PlanDowngrade, Field: "plan." + lowered[0],
			Detail: "licences were credited, so no value may be lowered: " + strings.Join(lowered, ", "),
		}
	}
	n := c.next()
	p, err := n.withPlan(by, old, plan)
	if err != nil {
		return nil, nil, nil, err
	}
	ch := n.change(by, "product.plan", p.Name, map[string]any{"plan": plan})
	ch.refresh(p)
	ch.put(p.record())
	return n, ch, p, nil
}

// withPlan puts a copy of old with another plan into n.
func (n *Catalogue) withPlan(by Actor, old *Product, plan Plan) (*Product, error) {
	p := *old
	if plan != old.Plan {
		p.PlanSinceMs = by.AtMs
	}
	if plan.Validity != old.Plan.Validity {
		if len(old.Validities) >= validitiesMax {
			return nil, invalid(
				"plan.validity",
				fmt.Sprintf("was changed %d times, the most there is room for", validitiesMax-1),
			)
		}
		p.Validities = append(slices.Clip(old.Validities), ValidityStep{FromS: by.AtMs / 1000, Validity: plan.Validity})
	}
	p.Plan = plan
	n.putProduct(&p)
	return &p, nil
}

// Credit is one purchase for a product: licences, or with Units top-up units for OTA (R8, R16).
type Credit struct {
	Order    string
	Quantity uint64
	Units    bool
	Plan     *PlanPatch // the plan that the lot names; nil or empty without
}

// ApplyCredit credits a lot or a top-up pack to a product. It is idempotent by order number: the same order again
// returns the lot that is there, with a nil catalogue and change; the order with other content is refused
// (order_reused).
func (c *Catalogue) ApplyCredit(by Actor, product string, credit Credit) (*Catalogue, *Change, *Lot, error) {
	old := c.Product([]byte(product))
	quantityField := "quantity"
	if credit.Units {
		quantityField = "units"
	}
	if !event.ValidName([]byte(credit.Order)) {
		return nil, nil, nil, badName("order")
	}
	if credit.Quantity < 1 || credit.Quantity > quantityMax {
		return nil, nil, nil, invalid(quantityField, fmt.Sprintf("must be a whole number from 1 to %d", quantityMax))
	}
	var named *Plan
	if credit.Plan != nil && len(credit.Plan.fields) > 0 {
		plan, err := credit.Plan.Apply(old.Plan, c.Retention)
		if err != nil {
			return nil, nil, nil, err
		}
		named = &plan
	}
	if l, void := old.order(credit.Order); l != nil {
		if void != nil || l.Units != credit.Units || l.Credited != credit.Quantity || !c.samePlan(l, credit.Plan) {
			return nil, nil, nil, orderReused(credit.Order)
		}
		return nil, nil, l, nil
	}
	if named != nil && *named != old.Plan && len(old.Lots) > 0 {
		return nil, nil, nil, &event.Problem{
			Code: event.PlanMismatch, Field: "plan",
			Detail: "plan: licences of another plan were credited to this product before; upgrade the product's plan first",
		}
	}
	return c.credit(by, old, credit, named)
}

// samePlan reports whether a repeated order names the plan that it named first. A partial plan was filled up from the
// product's, which may have been upgraded since; so what it names must be what the lot has.
func (c *Catalogue) samePlan(l *Lot, named *PlanPatch) bool {
	if named == nil || len(named.fields) == 0 {
		return l.plan == nil
	}
	if l.plan == nil {
		return false
	}
	plan, err := named.Apply(*l.plan, c.Retention)
	return err == nil && plan == *l.plan
}

func (c *Catalogue) credit(by Actor, old *Product, credit Credit, named *Plan) (*Catalogue, *Change, *Lot, error) {
	if err := old.roomForOrder(); err != nil {
		return nil, nil, nil, err
	}
	if !credit.Units && credit.Quantity > old.licenseRoom() {
		return nil, nil, nil, &event.Problem{
			Code:   event.TooManyLicenses,
			Field:  "quantity",
			Detail: "quantity: a product holds fewer than 2^32 licences",
		}
	}
	n := c.next()
	p := *old
	if named != nil {
		with, err := n.withPlan(by, old, *named)
		if err != nil {
			return nil, nil, nil, err
		}
		p = *with
	}
	lot := &Lot{
		Order: credit.Order, Units: credit.Units, Credited: credit.Quantity, CreditedAtMs: by.AtMs,
		Pool: n.newPool(credit.Quantity), plan: named,
	}
	action := "lot.credit"
	if credit.Units {
		action = "topup.credit"
		p.Packs = slices.Clip(p.Packs)
	} else {
		p.Lots = slices.Clip(p.Lots)
	}
	p.add(n.Seq, lot)
	n.putProduct(&p)
	ch := n.change(by, action, p.Name, map[string]any{"order": lot.Order, "quantity": lot.Credited})
	ch.refresh(&p)
	if named != nil {
		ch.put(p.record())
	}
	ch.put(lot.record(p.ID))
	return n, ch, lot, nil
}
