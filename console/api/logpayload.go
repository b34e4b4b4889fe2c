package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
)

type logPayloadAnswer struct {
	Keep string `json:"keep"`
}

// showLogPayload answers GET /v1/products/{product}/log-payload: what of payloads is kept in the raw log.
func (c *call) showLogPayload() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, logPayloadAnswer{p.LogPayload()})
}

// setLogPayload answers PUT /v1/products/{product}/log-payload. It is about events that are decided after it.
func (c *call) setLogPayload() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	keep := ""
	if err := c.read(fields{"keep": text(&keep)}); err != nil {
		return err
	}
	err = c.administer(
		func(cat *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			next, ch, p, err = cat.SetLogPayload(by, p.Name, keep)
			return next, ch, err
		},
	)
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusOK, logPayloadAnswer{p.LogPayload()})
}
