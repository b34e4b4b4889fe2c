package api

import (
	"cmp"
	"slices"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

type licenseAnswer struct {
	Serial      uint64  `json:"serial"`
	Product     string  `json:"product"`
	Device      string  `json:"device"`
	Source      string  `json:"source"`
	ActivatedAt instant `json:"activated_at"`
	ExpiresAt   instant `json:"expires_at"`
	State       string  `json:"state"`
}

// listProductLicenses answers GET /v1/products/{product}/licenses, in the order of serials, which is that of
// consumption.
func (c *call) listProductLicenses() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	return c.listLicenses([]*license.Product{p})
}

// listAccountLicenses answers GET /v1/accounts/{account}/licenses: product after product in the order of their
// creation, each in the order of serials.
func (c *call) listAccountLicenses() error {
	a, err := c.account()
	if err != nil {
		return err
	}
	products, err := c.consumers(c.catalogue.Products(a.Name))
	if err != nil {
		return err
	}
	slices.SortFunc(products, func(p, q *license.Product) int { return cmp.Compare(p.ID, q.ID) })
	return c.listLicenses(products)
}

// consumers returns the products that have consumed a licence: looking through the others would cost a View each.
func (c *call) consumers(products []*license.Product) ([]*license.Product, error) {
	stocks, err := c.stocks(products)
	if err != nil {
		return nil, err
	}
	var list []*license.Product
	for i, p := range products {
		if stocks[i].licenses.Used > 0 {
			list = append(list, p)
		}
	}
	return list, nil
}

// licensePage gathers a page of licences of several products.
type licensePage struct {
	list     []licenseAnswer
	limit    int
	expiring bool
	beforeMs int64 // with expiring
	full     bool  // there is one more
	product  *license.Product
	next     *string // behind the last one of list
}

// listLicenses answers with the licences of products, which are in the order of their ordinals. A cursor is the ordinal
// and the serial of the last licence shown, so licences consumed meanwhile neither move nor repeat one.
func (c *call) listLicenses(products []*license.Product) error {
	page := licensePage{list: []licenseAnswer{}}
	var err error
	if page.limit, err = c.limit(pageDefault); err != nil {
		return err
	}
	if page.beforeMs, page.expiring, err = c.instant("expiring_before"); err != nil {
		return err
	}
	var product, serial uint64
	if _, err := c.cursorNumbers(&product, &serial); err != nil {
		return err
	}
	for _, p := range products {
		if uint64(p.ID) < product {
			continue
		}
		after := uint64(0)
		if uint64(p.ID) == product {
			after = serial
		}
		page.product = p
		if err := c.queries.Licenses(p, after, page.add); err != nil {
			return err
		}
		if page.full {
			return c.answerPage("licenses", page.list, page.next)
		}
	}
	return c.answerPage("licenses", page.list, nil)
}

// add takes one licence and reports whether the page wants more.
func (g *licensePage) add(l *query.License) bool {
	if g.expiring && (!l.Active || l.ExpiresS*1000 >= g.beforeMs) {
		return true
	}
	if len(g.list) == g.limit {
		g.full = true
		return false
	}
	state := "ended"
	if l.Active {
		state = "active"
	}
	g.list = append(g.list, licenseAnswer{
		Serial: l.Row.Serial, Product: g.product.Name, Device: l.Row.Device, Source: l.Source,
		ActivatedAt: instantS(l.Row.ActivatedS), ExpiresAt: instantS(l.ExpiresS), State: state,
	})
	g.next = cursorOf(uint64(g.product.ID), l.Row.Serial)
	return true
}
