package api

import (
	"fmt"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// tellLogBegin says in a header where a product's log begins if that is later than asked for, although what is missing
// is not over (R18).
func (c *call) tellLogBegin(p *license.Product, fromMs int64) error {
	ms, err := c.queries.LogAvailableFromMs(p, fromMs)
	if err != nil {
		return fmt.Errorf("read where the log begins: %w", err)
	}
	if ms > 0 {
		c.setAvailableFrom(ms)
	}
	return nil
}

// setAvailableFrom says in a header where the answer begins.
func (c *call) setAvailableFrom(ms int64) {
	text := event.AppendTime(nil, ms)
	c.ctx.Response.Header.SetBytesV(headerAvailableFrom, text[1:len(text)-1]) // Without the quotes of JSON.
}
