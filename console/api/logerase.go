package api

import "github.com/valyala/fasthttp"

type eraseAnswer struct {
	ErasedUntil instant `json:"erased_until"`
}

// eraseLogs answers DELETE /v1/products/{product}/devices/{device}/logs: topic and payload of what was decided until
// then are read by nobody any more, and leave the disk later. The device need never have been active.
func (c *call) eraseLogs() error {
	p, err := c.product()
	if err != nil {
		return err
	}
	device, err := c.device()
	if err != nil {
		return err
	}
	if err := c.readNothing(); err != nil {
		return err
	}
	untilMs, err := c.engine.EraseLog(c.token.Name, c.token, p.Name, device)
	if err != nil {
		return err
	}
	return c.answer(fasthttp.StatusAccepted, eraseAnswer{instant(untilMs)})
}
