package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
)

type enforcementAnswer struct {
	Mode string `json:"mode"`
}

// showEnforcement answers GET /v1/products/{product}/enforcement: what the product's quotas do.
func (c *call) showEnforcement() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, enforcementAnswer{p.Enforcement()})
}

// setEnforcement answers PUT /v1/products/{product}/enforcement. It is about events that are decided after it. A token
// that is bound to an account may not: it would loosen what was sold.
func (c *call) setEnforcement() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	mode := ""
	if err := c.read(fields{"mode": text(&mode)}); err != nil {
		return err
	}
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, p, err = cat.SetEnforcement(by, p.Name, mode)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, enforcementAnswer{p.Enforcement()})
}
