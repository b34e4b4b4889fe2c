package license

import (
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
)

// order returns what this product's order with this number credited or took from, nil if there is none; void is set if
// it was a taking-back. Orders are unique within a product, top-ups and takings-back included.
func (p *Product) order(number string) (lot *Lot, void *Void) {
	for _, lots := range [][]*Lot{p.Lots, p.Packs} {
		for _, l := range lots {
			if l.Order == number {
				return l, nil
			}
			for i := range l.Voids {
				if l.Voids[i].Order == number {
					return l, &l.Voids[i]
				}
			}
		}
	}
	return nil, nil
}

func orderReused(order string) error {
	return &event.Problem{
		Code: event.OrderReused, Field: "order",
		Detail: fmt.Sprintf("order: %s was used for something else at this product", order),
	}
}

// TakeBack takes a quantity back from the lot or pack that credit order lot made: only what it has not given out (R8).
// It is idempotent by order number: the same again returns the lot with a nil catalogue and change. What is taken back
// cannot be drawn from here on, even before the change is durable.
func (c *Catalogue) TakeBack(by Actor, product, lot string, units bool, v Void) (*Catalogue, *Change, *Lot, error) {
	old := c.products[product]
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
	pool := from.Pool
	old.State.Account.Lock()
	defer old.State.Account.Unlock()
	if left := pool.Available(); left < v.Quantity {
		return nil, nil, nil, &event.Problem{
			Code: event.AlreadyConsumed, Field: field,
			Detail: fmt.Sprintf("%s: %d are left of order %s, %d cannot be taken back", field, left, lot, v.Quantity),
		}
	}
	pool.held += v.Quantity
	changed := *from
	changed.Voids = append(slices.Clip(from.Voids), v)
	n := c.next()
	p := *old
	lots, action := &p.Lots, "lot.void"
	if units {
		lots, action = &p.Packs, "topup.void"
	}
	*lots = slices.Clone(*lots)
	(*lots)[slices.Index(*lots, from)] = &changed
	n.put(&p)
	ch := n.change(by, action, p.Name, map[string]any{"order": v.Order, "of": lot, "quantity": v.Quantity})
	ch.putLot(&p, &changed, pool.Quantity-v.Quantity)
	ch.Apply = func() {
		old.State.Account.Lock()
		defer old.State.Account.Unlock()
		pool.held -= v.Quantity
		pool.Quantity -= v.Quantity
	}
	return n, ch, &changed, nil
}
