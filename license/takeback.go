package license

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/persist"
)

// orderPlace says where a product has an order: a credit, or a taking-back of it.
type orderPlace struct {
	units bool
	lot   int32 // index of Packs or Lots
	void  int32 // index of the lot's Voids, -1: the credit itself
}

func newOrders(seed maphash.Seed) persist.Map[orderPlace] { return persist.NewMap[orderPlace](seed) }

// order returns what this product's order with this number credited or took from, nil if there is none; void is set if
// it was a taking-back. Orders are unique within a product, top-ups and takings-back included.
func (p *Product) order(number string) (lot *Lot, void *Void) {
	at, found := p.orders.Get([]byte(number))
	if !found {
		return nil, nil
	}
	lot = (*p.credits(at.units))[at.lot]
	if at.void >= 0 {
		void = &lot.Voids[at.void]
	}
	return lot, void
}

// credits returns the lots, or with units the packs.
func (p *Product) credits(units bool) *[]*Lot {
	if units {
		return &p.Packs
	}
	return &p.Lots
}

// add appends a credit to p, which belongs to the catalogue made by change seq and is nobody else's yet.
func (p *Product) add(seq uint64, lot *Lot) {
	lots := p.credits(lot.Units)
	p.orders.Set(seq, lot.Order, orderPlace{units: lot.Units, lot: int32(len(*lots)), void: -1})
	*lots = append(*lots, lot)
	if !lot.Units {
		p.held += lot.Credited
	}
}

// addVoid appends a taking-back to a lot that is nobody else's yet.
func (l *Lot) addVoid(v Void) {
	l.Voids = append(l.Voids, v)
	l.takenBack += v.Quantity
}

// addVoid puts a lot with one more taking-back, its last, in the place of that lot; p is as for add.
func (p *Product) addVoid(seq uint64, at int, lot *Lot) {
	last := len(lot.Voids) - 1
	p.orders.Set(seq, lot.Voids[last].Order, orderPlace{units: lot.Units, lot: int32(at), void: int32(last)})
	(*p.credits(lot.Units))[at] = lot
	if !lot.Units {
		p.held -= lot.Voids[last].Quantity
	}
}

// creditOf finds a lot or pack by its pool: pools of both rise in the order of their making.
func (p *Product) creditOf(pool uint32) (units bool, at int, found bool) {
	for _, units = range []bool{false, true} {
		at, found = slices.BinarySearchFunc(*p.credits(units), pool, func(l *Lot, id uint32) int {
			return cmp.Compare(l.Pool.ID, id)
		})
		if found {
			break
		}
	}
	return units, at, found
}

// roomForOrder returns the problem that a product has all the orders it can.
func (p *Product) roomForOrder() error {
	if p.orders.Len() < ordersMax {
		return nil
	}
	return invalid("order", fmt.Sprintf(
		"product %s has had %d orders, the most it can; create another product for further ones", p.Name, ordersMax))
}

func orderReused(order string) error {
	return &event.Problem{
		Code: event.OrderReused, Field: "order",
		Detail: fmt.Sprintf("order: %s was used for something else at this product", order),
	}
}

// TakeBack takes a quantity back from the lot or pack that credit order lot made: only what it has not given out (R8).
// It is idempotent by order number: the same again returns the lot with a nil catalogue and change.
func (c *Catalogue) TakeBack(by Actor, product, lot string, units bool, v Void) (*Catalogue, *Change, *Lot, error) {
	old := c.Product([]byte(product))
	field := "quantity"
	if units {
		field = "units"
	}
	if !event.ValidName([]byte(v.Order)) {
		return nil, nil, nil, badName("order")
	}
	if v.Quantity < 1 || v.Quantity > quantityMax {
		return nil, nil, nil, invalid(field, fmt.Sprintf("must be a whole number from 1 to %d", quantityMax))
	}
	from, made := old.order(lot)
	if from == nil || made != nil || from.Units != units {
		return nil, nil, nil, &event.Problem{Code: event.NotFound, Detail: "order: there is none called " + lot}
	}
	if used, void := old.order(v.Order); used != nil {
		if void == nil || used != from || void.Quantity != v.Quantity {
			return nil, nil, nil, orderReused(v.Order)
		}
		return nil, nil, from, nil
	}
	if err := old.roomForOrder(); err != nil {
		return nil, nil, nil, err
	}
	pool := from.Pool
	old.State.Account.Lock()
	defer old.State.Account.Unlock()
	if left := pool.Available(); left < v.Quantity {
		return nil, nil, nil, &event.Problem{
			Code: event.AlreadyConsumed, Field: field,
			Detail: fmt.Sprintf("%s: %d are left of order %s, %d cannot be taken back", field, left, lot, v.Quantity),
		}
	}
	pool.TakenBack += v.Quantity
	changed := *from
	changed.Voids = slices.Clip(from.Voids)
	changed.addVoid(v)
	n := c.next()
	p := *old
	lots, action := p.credits(units), "lot.void"
	if units {
		action = "topup.void"
	}
	*lots = slices.Clone(*lots)
	p.addVoid(n.Seq, slices.Index(*lots, from), &changed)
	n.putProduct(&p)
	ch := n.change(by, action, p.Name, map[string]any{"order": v.Order, "of": lot, "quantity": v.Quantity})
	ch.put(changed.voidRecord(p.ID, len(changed.Voids)-1))
	return n, ch, &changed, nil
}
