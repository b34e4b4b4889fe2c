package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
)

// voidLot answers POST /v1/products/{product}/lots/{order}/void: licences that were not consumed are taken back (R8).
func (c *call) voidLot() error { return voided(c, false, "quantity", showLot) }

// voidTopup answers POST /v1/products/{product}/topups/{order}/void.
func (c *call) voidTopup() error { return voided(c, true, "units", showTopup) }

func voided[A any](c *call, units bool, amountField string, show func(l *license.Lot, used, quantity uint64) A) error {
	p, err := c.product()
	if err != nil {
		return err
	}
	var v license.Void
	if err := c.read(fields{"order": text(&v.Order), amountField: amount(&v.Quantity)}); err != nil {
		return err
	}
	from := c.path("order")
	var lot *license.Lot
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, lot, err = cat.TakeBack(by, p.Name, from, units, v)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	list, err := showAll(c, p, []*license.Lot{lot}, show)
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, list[0])
}
