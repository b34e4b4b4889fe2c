package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
)

type accountAnswer struct {
	Account   string              `json:"account"`
	Kind      string              `json:"kind"`
	Region    string              `json:"region"`
	Suspended bool                `json:"suspended"`
	Licenses  accountLicenseCount `json:"licenses"`
}

type accountLicenseCount struct {
	license.Counts
	Gift license.Counts `json:"gift"`
}

// createAccount answers POST /v1/accounts.
func (c *call) createAccount() error {
	var name, kind, region string
	err := c.read(fields{"account": text(&name), "kind": text(&kind), "region": text(&region)})
	if err != nil {
		return err
	}
	var a *license.Account
	err = c.give(license.NameAccount, name,
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, a, err = cat.CreateAccount(by, name, kind, region)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answerAccount(fasthttp.StatusCreated, a)
}

// showAccount answers GET /v1/accounts/{account}.
func (c *call) showAccount() error {
	a, err := c.account()
	if err != nil {
		return err
	}
	return c.answerAccount(fasthttp.StatusOK, a)
}

func (c *call) answerAccount(status int, a *license.Account) error {
	list, err := c.accountAnswers([]*license.Account{a}, [][]*license.Product{c.catalogue.Products(a.Name)})
	if err != nil {
		return err
	}
	return c.answer(status, list[0])
}

// listAccounts answers GET /v1/accounts, in the order of names.
func (c *call) listAccounts() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	cursor, err := c.cursorName()
	if err != nil {
		return err
	}
	var accounts []*license.Account
	for _, a := range c.catalogue.Accounts() {
		if c.sees(a.Name) {
			accounts = append(accounts, a)
		}
	}
	page, next := pageAfter(accounts, cursor, limit, func(a *license.Account) string { return a.Name })
	list, err := c.accountAnswers(page, c.productsOf(page))
	if err != nil {
		return err
	}
	return c.answerPage("accounts", list, next)
}

// productsOf returns the products of each account, in their order.
func (c *call) productsOf(accounts []*license.Account) [][]*license.Product {
	byAccount := map[string][]*license.Product{}
	for _, p := range c.catalogue.Products(c.token.Account) {
		byAccount[p.Account] = append(byAccount[p.Account], p)
	}
	products := make([][]*license.Product, len(accounts))
	for i, a := range accounts {
		products[i] = byAccount[a.Name]
	}
	return products
}

func (c *call) accountAnswers(accounts []*license.Account, products [][]*license.Product) ([]accountAnswer, error) {
	stocks, err := c.accountStocks(accounts, products)
	if err != nil {
		return nil, err
	}
	list := make([]accountAnswer, len(accounts))
	for i, a := range accounts {
		list[i] = accountAnswer{
			Account: a.Name, Kind: a.Kind, Region: a.Region, Suspended: a.Suspended,
			Licenses: accountLicenseCount{Counts: stocks[i].licenses, Gift: stocks[i].gifts},
		}
	}
	return list, nil
}
