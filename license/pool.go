package license

import "sync"

// AccountState is what changes about an account without a new catalogue. Its lock guards every pool of the account and
// every step that must look at several words of one of its devices: consuming, renewing, OTA. Messages never take it.
type AccountState struct {
	sync.Mutex
}

// Pool is a stock of licences or OTA units: a lot, a top-up pack or an account's gifts. All fields but ID are guarded
// by the account's lock. All totals only grow, so that recovery may join them by maximum.
type Pool struct {
	ID        uint32 // given once, unique in the daemon, from 1
	Credited  uint64
	TakenBack uint64 // R8
	Drawn     uint64
	Returned  uint64 // R17
}

// Quantity returns what was credited and not taken back.
func (p *Pool) Quantity() uint64 { return p.Credited - p.TakenBack }

// Available returns what is left.
func (p *Pool) Available() uint64 {
	if p.Drawn+p.TakenBack > p.Credited+p.Returned {
		return 0 // While recovery has not yet joined everything: never negative.
	}
	return p.Credited + p.Returned - p.Drawn - p.TakenBack
}

// Used returns what was drawn and not returned.
func (p *Pool) Used() uint64 { return p.Drawn - p.Returned }

// Counts are the three numbers of every view (R7). Used may be shown while Total grows: Available is Total − Used.
type Counts struct {
	Total     uint64 `json:"total"`
	Used      uint64 `json:"used"`
	Available uint64 `json:"available"`
}

func (c *Counts) add(p *Pool) {
	c.Total += p.Quantity()
	c.Used += p.Used()
	c.Available += p.Available()
}

// Add adds d to c, number by number.
func (c *Counts) Add(d Counts) {
	c.Total += d.Total
	c.Used += d.Used
	c.Available += d.Available
}

// TakeLicense draws one licence for a device of p: from the product's lots, oldest first, then from the account's gifts
// (R5). It returns the pool it came from, nil when none is left. The account's lock must be held (R4).
func (p *Product) TakeLicense() *Pool {
	s := p.State
	for ; s.lotFirst < len(p.Lots); s.lotFirst++ {
		if pool := p.Lots[s.lotFirst].Pool; pool.Available() > 0 {
			pool.Drawn++
			return pool
		}
		// Lots never gain licences again: a credit is a new lot. So an empty one is passed for ever.
	}
	if !p.giftLeft() {
		return nil
	}
	p.Gifts.Drawn++
	s.GiftsDrawn++
	return p.Gifts
}

// giftLeft reports whether the product may draw a gift: the account has one, and the product would not hold more
// licences than it can. The account's lock must be held.
func (p *Product) giftLeft() bool {
	return p.Gifts.Available() > 0 && p.held+p.State.GiftsDrawn < licensesMax
}

// licenseRoom returns how many licences the product may be credited with, so that it holds fewer than 2^32, the gifts
// that it has drawn included. It takes the account's lock.
func (p *Product) licenseRoom() uint64 {
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	return licensesMax - min(licensesMax, p.held+p.State.GiftsDrawn)
}

// PackUnits returns the OTA units left in the product's top-up packs. The account's lock must be held.
func (p *Product) PackUnits() uint64 {
	var n uint64
	for _, pack := range p.Packs {
		n += pack.Pool.Available()
	}
	return n
}

// TakePacks draws units from the product's packs, oldest first, calling fn for every pool that gave some, with how
// many. The caller has checked PackUnits under the same hold of the account's lock: it never takes a part (R16).
func (p *Product) TakePacks(units uint64, fn func(pool *Pool, units uint64)) {
	for _, pack := range p.Packs {
		if units == 0 {
			return
		}
		if n := min(units, pack.Pool.Available()); n > 0 {
			pack.Pool.Drawn += n
			units -= n
			fn(pack.Pool, n)
		}
	}
	if units > 0 {
		panic("BUG: took more pack units than the packs hold")
	}
}

// Licenses returns the product's licences: what its lots hold plus the gifts that it has drawn (R7). The account's lock
// must be held.
func (p *Product) Licenses() Counts {
	var c Counts
	for _, lot := range p.Lots {
		c.add(lot.Pool)
	}
	c.Total += p.State.GiftsDrawn
	c.Used += p.State.GiftsDrawn
	return c
}

// Topups returns the OTA units of the product's packs. The account's lock must be held.
func (p *Product) Topups() Counts {
	var c Counts
	for _, pack := range p.Packs {
		c.add(pack.Pool)
	}
	return c
}

// GiftCounts returns the account's gifts. The account's lock must be held.
func (a *Account) GiftCounts() Counts {
	var c Counts
	c.add(a.Gifts)
	return c
}

// LicensesLeft reports whether TakeLicense would find one. The account's lock must be held.
func (p *Product) LicensesLeft() bool {
	for _, lot := range p.Lots[min(p.State.lotFirst, len(p.Lots)):] {
		if lot.Pool.Available() > 0 {
			return true
		}
	}
	return p.giftLeft()
}

// LotCounts returns what the product's lots hold, without gifts. The account's lock must be held.
func (p *Product) LotCounts() Counts {
	var c Counts
	for _, lot := range p.Lots {
		c.add(lot.Pool)
	}
	return c
}

// SourceOf names where a licence came from: the order of its lot, or "gift".
func (p *Product) SourceOf(pool uint32) string {
	for _, lot := range p.Lots {
		if lot.Pool.ID == pool {
			return lot.Order
		}
	}
	return "gift"
}

// EachPool calls pool for every pool and gifts for every product's gifts drawn, each under its account's lock.
func (c *Catalogue) EachPool(pool func(*Pool), gifts func(product uint32, drawn uint64)) {
	for id := range uint32(c.accountsByID.Len()) {
		a := c.accountsByID.Get(id)
		if a == nil {
			continue
		}
		a.State.Lock()
		pool(a.Gifts)
		for _, product := range a.products {
			p := c.ProductByID(product)
			gifts(p.ID, p.State.GiftsDrawn)
			for _, l := range p.Lots {
				pool(l.Pool)
			}
			for _, l := range p.Packs {
				pool(l.Pool)
			}
		}
		a.State.Unlock()
	}
}
