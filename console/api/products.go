package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

type productAnswer struct {
	Product   string         `json:"product"`
	Account   string         `json:"account"`
	Name      string         `json:"name"`
	TimeZone  string         `json:"time_zone"`
	Plan      license.Plan   `json:"plan"`
	Suspended bool           `json:"suspended"`
	Licenses  license.Counts `json:"licenses"`
	Topups    topupCounts    `json:"topups"`
	Devices   deviceCounts   `json:"devices"`
}

type topupCounts struct {
	OTA license.Counts `json:"ota"`
}

type deviceCounts struct {
	Active int64 `json:"active"`
	Online int64 `json:"online"`
}

// createProduct answers POST /v1/products.
func (c *call) createProduct() error {
	var spec license.ProductSpec
	err := c.read(fields{
		"product": text(&spec.Name), "account": text(&spec.Account), "name": text(&spec.Label),
		"time_zone": text(&spec.Zone), "plan": plan(&spec.Plan),
	})
	switch {
	case err != nil:
		return err
	case !event.ValidName([]byte(spec.Account)):
		return invalid("account", "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -")
	case !c.sees(spec.Account):
		return notFound("account", spec.Account)
	}
	if spec.Zone == "" {
		spec.Zone = c.o.TimeZone
	}
	var p *license.Product
	err = c.give(license.NameProduct, spec.Name,
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, p, err = cat.CreateProduct(by, spec)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerProduct(fasthttp.StatusCreated, p)
}

// setPlan answers PUT /v1/products/{product}/plan: what is left out of the body stays (R9).
func (c *call) setPlan() error {
	old, err := c.product()
	if err != nil {
		return err
	}
	body, err := readBody(c.ctx, bodyBytesMax)
	if err != nil {
		return err
	}
	patch, err := decodePlan(body)
	if err != nil {
		return err
	}
	var p *license.Product
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, p, err = cat.SetPlan(by, old.Name, patch)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerProduct(fasthttp.StatusOK, p)
}

// showProduct answers GET /v1/products/{product}.
func (c *call) showProduct() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	return c.answerProduct(fasthttp.StatusOK, p)
}

func (c *call) answerProduct(status int, p *license.Product) error {
	list, err := c.productAnswers([]*license.Product{p})
	if err != nil {
		return err
	}
	return c.answer(status, list[0])
}

// listProducts answers GET /v1/products?account=, in the order of names.
func (c *call) listProducts() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	cursor, err := c.cursorName()
	if err != nil {
		return err
	}
	account := c.query("account")
	if account != "" && (c.catalogue.Account(account) == nil || !c.sees(account)) {
		return notFound("account", account)
	}
	if account == "" {
		account = c.token.Account
	}
	page, next := pageAfter(
		c.catalogue.Products(account),
		cursor,
		limit,
		func(p *license.Product) string { return p.Name },
	)
	list, err := c.productAnswers(page)
	if err != nil {
		return err
	}
	return c.answerPage("products", list, next)
}

func (c *call) productAnswers(products []*license.Product) ([]productAnswer, error) {
	stocks, err := c.stocks(products)
	if err != nil {
		return nil, err
	}
	list := make([]productAnswer, len(products))
	for i, p := range products {
		list[i] = productAnswer{
			Product: p.Name, Account: p.Account, Name: p.Label, TimeZone: p.ZoneName, Plan: p.Plan, Suspended: p.Suspended,
			Licenses: stocks[i].licenses, Topups: topupCounts{OTA: stocks[i].topups},
			Devices: deviceCounts{Active: stocks[i].active, Online: stocks[i].online},
		}
	}
	return list, nil
}
