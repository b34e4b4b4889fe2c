package api

import (
	"bufio"
	"context"
	"errors"
	"slices"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// headerAvailableFrom says where usage or a log begins if that is later than asked for, in answers without a member for
// it.
const headerAvailableFrom = "Meterd-Available-From"

// showUsage answers GET /v1/usage: what a product, or the products of an account, used window by window; product after
// product in the order of their names. Windows in which nothing was used are left out.
func (c *call) showUsage() error {
	q, err := c.usageQuery()
	if err != nil {
		return err
	}
	if !c.usages.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "usage is being read by too many already; send it again"}
	}
	leave := func() { c.usages.leave(c.token.Name) }
	usage, err := c.queries.Usage(q)
	if err != nil {
		leave()
		if errors.Is(err, query.ErrZoneOffset) {
			return invalid("time_zone", err.Error())
		}
		return err
	}
	s := &usageStream{pieces: pieces{conn: c.ctx.Conn()}, h: c.Handler, usage: usage, format: newUsageFormat(false)}
	c.ctx.SetContentType(mediaJSON)
	if c.preferred(mediaJSON, mediaCSV) == mediaCSV {
		s.format = newUsageFormat(true)
		c.ctx.SetContentType(contentCSV)
	}
	if c.isProbe() {
		leave()
		return nil
	}
	err = s.gather()
	if ms := usage.AvailableFromMs(); ms > 0 { // CSV has no other place for it.
		c.setAvailableFrom(ms)
	}
	if err != nil || !s.more {
		leave()
		c.ctx.Response.SetBodyRaw(s.body)
		return err
	}
	c.stream(&s.pieces, usageStreamWithin, leave, s.run)
	return nil
}

// usageQuery reads what the request asks for.
func (c *call) usageQuery() (q query.UsageQuery, err error) {
	if q.Products, err = c.usageProducts(); err != nil {
		return q, err
	}
	span, err := c.choice("window", string(calendar.Hour), string(calendar.Day), string(calendar.Month))
	if err != nil {
		return q, err
	}
	if q.Span = calendar.Span(span); span == "" {
		q.Span = calendar.Day
	}
	if q.Zone, err = c.zone("time_zone"); err != nil {
		return q, err
	}
	q.NowMs = c.engine.NowMs()
	from, since, err := c.instant("from")
	if err != nil {
		return q, err
	}
	to, until, err := c.instant("to")
	if err != nil {
		return q, err
	}
	if q.FromMs = from; !since {
		q.FromMs = calendar.WindowAt(q.NowMs, q.Zone).MonthStartMs
	}
	if q.ToMs = to; !until {
		q.ToMs = q.Span.EndMs(q.NowMs, q.Zone) // The running window, whole.
	}
	switch {
	case q.FromMs < q.ToMs:
		return q, nil
	case since:
		return q, invalid("from", "must be before to")
	}
	return q, invalid("to", "must be after from, which is the beginning of the running month without one")
}

// usageProducts returns the products whose usage is asked for, in the order of their names.
func (c *call) usageProducts() ([]*license.Product, error) {
	product, account := c.query("product"), c.query("account")
	switch {
	case (product == "") == (account == ""):
		return nil, invalid("product", "name a product or an account, and not both")
	case account != "":
		if c.catalogue.Account(account) == nil || !c.sees(account) {
			return nil, notFound("account", account)
		}
		return c.catalogue.Products(account), nil
	}
	p := c.catalogue.Product([]byte(product))
	if p == nil || !c.sees(p.Account) {
		return nil, notFound("product", product)
	}
	return []*license.Product{p}, nil
}

// usageStream makes an answer about usage.
type usageStream struct {
	pieces
	h      *Handler
	usage  *query.Usage
	format *usageFormat
	rows   []query.UsageRow
	body   []byte
	begun  bool
	more   bool // it is not all in body
}

// gather makes some of the answer, or the rest.
func (s *usageStream) gather() (err error) {
	for s.more = true; s.more && len(s.body) < s.h.usageBody; {
		if s.rows, s.more, err = s.usage.Next(s.rows[:0]); err != nil {
			return err
		}
		if !s.begun {
			s.body, s.begun = s.format.begin(s.body), true
		}
		s.body = slices.Grow(s.body, len(s.rows)*usageRowBytes)
		for i := range s.rows {
			s.body = s.format.row(s.body, &s.rows[i])
		}
	}
	if !s.more {
		s.body = s.format.end(s.body, s.usage.AvailableFromMs())
	}
	return nil
}

// run writes what was gathered, and the rest. A status was sent already: on an error the connection is closed, which
// the client sees as an answer that is not whole.
func (s *usageStream) run(ctx context.Context, w *bufio.Writer) {
	for {
		err := s.write(ctx, w, s.body)
		s.body = s.body[:0]
		if err == nil {
			if !s.more {
				return
			}
			err = s.gather()
		}
		if err != nil {
			_ = s.conn.Close() // What it fails with says nothing.
			if !s.isGone && !errors.Is(err, shard.ErrStopped) && ctx.Err() == nil {
				s.h.logger.Error("usage could not be sent to its end", "error", err)
			}
			return
		}
	}
}
