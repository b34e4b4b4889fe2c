package api

import (
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

// stock is what a product has and what its devices do, at one instant.
type stock struct {
	licenses, topups license.Counts
	active, online   int64
}

// stocks returns the stock of each product, in their order.
func (c *call) stocks(products []*license.Product) ([]stock, error) {
	list := make([]stock, len(products))
	for i := 0; i < len(products); {
		err := c.queries.View(func(v *query.View) {
			for room := scanLots; i < len(products) && room > 0; i++ {
				p := products[i]
				list[i].licenses, list[i].topups = v.Licenses(p)
				list[i].active, list[i].online = p.State.Active.Load(), p.State.Online.Load()
				room -= 1 + len(p.Lots) + len(p.Packs)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// accountStock is what an account has, gifts included, and its gifts alone, at one instant (R7).
type accountStock struct{ licenses, gifts license.Counts }

// accountStocks returns the stock of each account, in their order; products are those of each, in the same order.
func (c *call) accountStocks(accounts []*license.Account, products [][]*license.Product) ([]accountStock, error) {
	list := make([]accountStock, len(accounts))
	for i := 0; i < len(accounts); {
		err := c.queries.View(func(*query.View) {
			for room := scanLots; i < len(accounts) && room > 0; i++ {
				room -= list[i].add(accounts[i], products[i])
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// add sums the account up inside a View, all its pools at one hold of its lock, and returns how many lots it looked at.
func (s *accountStock) add(a *license.Account, products []*license.Product) (lots int) {
	a.State.Lock()
	defer a.State.Unlock()
	s.gifts = a.GiftCounts()
	s.licenses = s.gifts
	lots = 1
	for _, p := range products {
		s.licenses.Add(p.LotCounts())
		lots += 1 + len(p.Lots)
	}
	return lots
}
