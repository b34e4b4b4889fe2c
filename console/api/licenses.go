package api

import (
	"cmp"
	"slices"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

type licenseAnswer struct {
	Serial      serial  `json:"serial"`
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

// licenseFilter says which licences a request asks for.
type licenseFilter struct {
	device, source string // "" for any
	state          string // "" for both
	expiring       bool
	beforeMs       int64 // with expiring: active ones alone that end before it
}

func (c *call) licenseFilter() (f licenseFilter, err error) {
	f.device, f.source = c.query("device"), c.query("source")
	if f.state, err = c.choice("state", licenseActive, licenseEnded); err != nil {
		return f, err
	}
	f.beforeMs, f.expiring, err = c.instant("expiring_before")
	return f, err
}

// wants reports whether a licence, of the device that is asked for, is asked for.
func (f *licenseFilter) wants(l *query.License) bool {
	return (f.source == "" || f.source == l.Source) && (f.state == "" || f.state == licenseState(l)) &&
		(!f.expiring || l.Active && l.ExpiresS*1000 < f.beforeMs)
}

// The states of a licence.
const (
	licenseActive = "active"
	licenseEnded  = "ended"
)

func licenseState(l *query.License) string {
	if l.Active {
		return licenseActive
	}
	return licenseEnded
}

// licensePage gathers a page of licences of several products.
type licensePage struct {
	cell    Cell
	list    []licenseAnswer
	limit   int
	filter  licenseFilter
	full    bool // there is one more
	product *license.Product
	next    *string // behind the last one of list
}

// listLicenses answers with the licences of products, which are in the order of their ordinals: with a page, or with
// all of them as CSV. A cursor is the ordinal and the serial of the last licence shown, so licences consumed meanwhile
// neither move nor repeat one.
func (c *call) listLicenses(products []*license.Product) error {
	filter, err := c.licenseFilter()
	if err != nil {
		return err
	}
	if c.preferred(mediaJSON, mediaCSV) == mediaCSV {
		return c.streamLicenses(products, filter)
	}
	page := licensePage{cell: c.o.Cell, list: []licenseAnswer{}, filter: filter}
	if page.limit, err = c.limit(pageDefault); err != nil {
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
		q := query.LicenseQuery{Product: p, Device: filter.device}
		if uint64(p.ID) == product {
			q.After = serial
		}
		page.product = p
		if err := c.queries.Licenses(q, page.add); err != nil {
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
	if !g.filter.wants(l) {
		return true
	}
	if len(g.list) == g.limit {
		g.full = true
		return false
	}
	g.list = append(g.list, licenseAnswer{
		Serial: serial{g.cell, l.Row.Serial}, Product: g.product.Name, Device: l.Row.Device, Source: l.Source,
		ActivatedAt: instantS(l.Row.ActivatedS), ExpiresAt: instantS(l.ExpiresS), State: licenseState(l),
	})
	g.next = cursorOf(uint64(g.product.ID), l.Row.Serial)
	return true
}
