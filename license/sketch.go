package license

// Sketch is a copy of products, and of the pools that they draw on, to try decisions on: nothing that is drawn or
// counted reaches the catalogue. It belongs to one goroutine.
type Sketch struct {
	accounts map[uint32]*sketchedAccount
	products map[uint32]*Product
}

type sketchedAccount struct {
	state AccountState
	gifts Pool
}

// NewSketch returns a sketch without products.
func NewSketch() *Sketch {
	return &Sketch{accounts: map[uint32]*sketchedAccount{}, products: map[uint32]*Product{}}
}

// Product returns the copy of p, made at the first call for it. Its payloads are not logged. It takes the account's
// lock for some 10 ns for each lot that is not empty and each pack.
func (s *Sketch) Product(p *Product) *Product {
	if c := s.products[p.ID]; c != nil {
		return c
	}
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	a := s.accounts[p.AccountID]
	if a == nil {
		a = &sketchedAccount{gifts: *p.Gifts}
		s.accounts[p.AccountID] = a
	}
	c := *p
	c.State = &ProductState{Account: &a.state, GiftsDrawn: p.State.GiftsDrawn}
	c.State.window.Store(p.State.window.Load())
	c.Gifts, c.PayloadOff = &a.gifts, true
	c.Lots, c.Packs = sketched(p.Lots[min(p.State.lotFirst, len(p.Lots)):]), sketched(p.Packs)
	s.products[p.ID] = &c
	return &c
}

// sketched returns copies of lots with pools of their own.
func sketched(lots []*Lot) []*Lot {
	list, copies, pools := make([]*Lot, len(lots)), make([]Lot, len(lots)), make([]Pool, len(lots))
	for i, l := range lots {
		copies[i], pools[i] = *l, *l.Pool
		copies[i].Pool = &pools[i]
		list[i] = &copies[i]
	}
	return list
}
