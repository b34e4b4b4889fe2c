package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

type lotAnswer struct {
	Order      string  `json:"order"`
	Quantity   uint64  `json:"quantity"`
	Used       uint64  `json:"used"`
	Available  uint64  `json:"available"`
	CreditedAt instant `json:"credited_at"`
}

type topupAnswer struct {
	Order      string  `json:"order"`
	Kind       string  `json:"kind"`
	Units      uint64  `json:"units"`
	Used       uint64  `json:"used"`
	Available  uint64  `json:"available"`
	CreditedAt instant `json:"credited_at"`
}

// topupOTA is the only kind of top-up packs.
const topupOTA = "ota"

func showLot(l *license.Lot, used, quantity uint64) lotAnswer {
	return lotAnswer{
		Order:      l.Order,
		Quantity:   quantity,
		Used:       used,
		Available:  quantity - min(used, quantity),
		CreditedAt: instant(l.CreditedAtMs),
	}
}

func showTopup(l *license.Lot, used, quantity uint64) topupAnswer {
	return topupAnswer{
		Order: l.Order, Kind: topupOTA, Units: quantity, Used: used, Available: quantity - min(used, quantity),
		CreditedAt: instant(l.CreditedAtMs),
	}
}

// creditLot answers POST /v1/products/{product}/lots (R8).
func (c *call) creditLot() error {
	credit := license.Credit{Plan: &license.PlanPatch{}}
	return credited(c, &credit, showLot, func() error {
		return c.read(fields{"order": text(&credit.Order), "quantity": amount(&credit.Quantity), "plan": plan(credit.Plan)})
	})
}

// creditTopup answers POST /v1/products/{product}/topups (R16).
func (c *call) creditTopup() error {
	credit := license.Credit{Units: true}
	return credited(c, &credit, showTopup, func() error {
		var kind string
		err := c.read(fields{"order": text(&credit.Order), "kind": text(&kind), "units": amount(&credit.Quantity)})
		if err == nil && kind != topupOTA {
			return invalid("kind", "must be "+topupOTA)
		}
		return err
	})
}

// credited reads a credit, applies it, and answers with the lot: 201 if it is new, 200 if its order was credited
// before.
func credited[A any](
	c *call,
	credit *license.Credit,
	show func(l *license.Lot, used, quantity uint64) A,
	read func() error,
) error {
	p, err := c.product()
	if err != nil {
		return err
	}
	if err := read(); err != nil {
		return err
	}
	var lot *license.Lot
	status := fasthttp.StatusOK
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			if cat.Product([]byte(p.Name)) == nil {
				return nil, nil, notFound("product", p.Name)
			}
			next, ch, lot, err = cat.ApplyCredit(by, p.Name, *credit)
			if next != nil {
				status = fasthttp.StatusCreated
			}
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
	return c.answer(status, list[0])
}

// listLots answers GET /v1/products/{product}/lots, oldest first.
func (c *call) listLots() error {
	return listCredits(c, "lots", func(p *license.Product) []*license.Lot { return p.Lots }, showLot)
}

// listTopups answers GET /v1/products/{product}/topups, oldest first.
func (c *call) listTopups() error {
	return listCredits(c, "topups", func(p *license.Product) []*license.Lot { return p.Packs }, showTopup)
}

// listCredits answers with all credits, or with a page if the request names a limit or a cursor.
func listCredits[A any](
	c *call, name string, of func(*license.Product) []*license.Lot, show func(l *license.Lot, used, quantity uint64) A,
) error {
	p, err := c.product()
	if err != nil {
		return err
	}
	limit, err := c.limit(0)
	if err != nil {
		return err
	}
	var first uint64 // Credits only come to the end, so their numbers stay.
	onward, err := c.cursorNumbers(&first)
	if err != nil {
		return err
	}
	credits := of(p)
	whole := limit == 0 && !onward
	if limit == 0 {
		limit = pageDefault
	}
	var next *string
	credits = credits[min(first, uint64(len(credits))):]
	if !whole && len(credits) > limit {
		credits, next = credits[:limit], cursorOf(first+uint64(limit))
	}
	list, err := showAll(c, p, credits, show)
	switch {
	case err != nil:
		return err
	case whole:
		return c.answerList(name, list)
	}
	return c.answerPage(name, list, next)
}

// showAll returns the answers for credits of p, in their order.
func showAll[A any](
	c *call,
	p *license.Product,
	credits []*license.Lot,
	show func(l *license.Lot, used, quantity uint64) A,
) ([]A, error) {
	list := make([]A, 0, len(credits))
	for len(list) < len(credits) {
		step := credits[len(list):min(len(credits), len(list)+scanLots)]
		err := c.queries.View(func(v *query.View) {
			for _, l := range step {
				used, quantity := v.Used(p, l)
				list = append(list, show(l, used, quantity))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
