package api

import "github.com/valyala/fasthttp"

// confirmClock answers POST /v1/clock/confirm: the wall clock is right although it leapt ahead (R12).
func (c *call) confirmClock() error {
	if err := c.readNothing(); err != nil {
		return err
	}
	if err := c.engine.ConfirmClock(c.token.Name, c.token); err != nil {
		return err
	}
	c.ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}
