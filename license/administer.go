package license

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meterd/meterd/event"
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
	productsMax     = 1<<24 - 1 // the device table has 24 bits for a product
	validitiesMax   = 1 << 10   // the device table has 10 bits for the version of a validity
	labelBytesMax   = 256
	poolsMax        = 1<<31 - 1 // the device table has 31 bits for a pool
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
	case c.accounts[name] != nil:
		return nil, nil, nil, &event.Problem{Code: event.AlreadyExists, Detail: "account " + name + " exists"}
	}
	n := c.next()
	n.accountLast++
	a := &Account{
		ID: n.accountLast, Name: name, Kind: kind, Region: c.Region, CreatedAtMs: by.AtMs,
		Gifts: n.newPool(giftsPersonal), State: &AccountState{},
	}
	if kind == Enterprise {
		a.Gifts.Quantity = giftsEnterprise
	}
	n.accounts[name] = a
	ch := n.change(by, "account.create", name, map[string]any{"kind": kind, "region": c.Region})
	ch.putAccount(a, a.Gifts.Quantity)
	return n, ch, a, nil
}

func (n *Catalogue) newPool(quantity uint64) *Pool {
	if n.poolLast >= poolsMax {
		panic("BUG: more pools than the device table has bits for")
	}
	n.poolLast++
	return &Pool{ID: n.poolLast, Quantity: quantity}
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
	a := c.accounts[spec.Account]
	if a == nil {
		return nil, nil, nil, &event.Problem{
			Code:   event.NotFound,
			Field:  accountNameText,
			Detail: "account: there is none called " + spec.Account,
		}
	}
	zone, err := ParseZone(spec.Zone)
	if err != nil {
		return nil, nil, nil, invalid("time_zone", err.Error())
	}
	plan, err := spec.Plan.Apply(DefaultPlan(c.Retention), c.Retention)
	if err != nil {
		return nil, nil, nil, err
	}
	if c.products[spec.Name] != nil {
		return nil, nil, nil, &event.Problem{
			Code:   event.AlreadyExists,
			Detail: "product " + spec.Name + " exists; names are unique in the daemon",
		}
	}
	if len(c.productsByID) > productsMax {
		return nil, nil, nil, invalid("product", fmt.Sprintf("this daemon holds %d products, the most it can", productsMax))
	}
	n := c.next()
	p := &Product{
		ID: uint32(len(n.productsByID)), Name: spec.Name, Label: spec.Label, Account: a.Name, AccountID: a.ID,
		ZoneName: spec.Zone, Zone: zone, Plan: plan, PlanSinceMs: by.AtMs,
		Validities:  []ValidityStep{{FromS: by.AtMs / 1000, Validity: plan.Validity}},
		CreatedAtMs: by.AtMs, Gifts: a.Gifts, State: &ProductState{Account: a.State}, AutoRenew: true,
	}
	p.Scope = scopeOf(a, p)
	n.put(p)
	ch := n.change(by, "product.create", p.Name, map[string]any{"account": a.Name, "time_zone": p.ZoneName, "plan": plan})
	ch.putProduct(p)
	return n, ch, p, nil
}

func scopeOf(a *Account, p *Product) event.Scope {
	switch {
	case a.Suspended:
		return event.ScopeAccount
	case p.Suspended:
		return event.ScopeProduct
	}
	return event.ScopeNone
}

// SetPlan gives a product a new plan. Once licences were credited no value may be lowered (R9).
func (c *Catalogue) SetPlan(by Actor, product string, patch PlanPatch) (*Catalogue, *Change, *Product, error) {
	old := c.products[product]
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
	ch := n.change(by, ActionPlan, p.Name, map[string]any{"plan": plan})
	ch.putProduct(p)
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
	n.put(&p)
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
	old := c.products[product]
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
	if !credit.Units {
		var sum uint64
		for _, l := range old.Lots {
			sum += l.Credited
		}
		// Gifts drawn count as well: an account has at most ten.
		if sum+credit.Quantity+giftsEnterprise > licensesMax {
			return nil, nil, nil, &event.Problem{
				Code:   event.TooManyLicenses,
				Field:  "quantity",
				Detail: "quantity: a product holds fewer than 2^32 licences",
			}
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
	action := ActionLotCredit
	if credit.Units {
		action = ActionTopupCredit
		p.Packs = append(slices.Clip(p.Packs), lot)
	} else {
		p.Lots = append(slices.Clip(p.Lots), lot)
	}
	n.put(&p)
	ch := n.change(by, action, p.Name, map[string]any{"order": lot.Order, "quantity": lot.Credited})
	ch.putProduct(&p)
	ch.putLot(&p, lot, lot.Credited)
	return n, ch, lot, nil
}
