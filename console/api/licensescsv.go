package api

import (
	"bufio"
	"context"
	"errors"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// licensesStream makes a list of licences as CSV.
type licensesStream struct {
	pieces
	h        *Handler
	products []*license.Product
	filter   licenseFilter
	lines    []byte
}

// streamLicenses answers with all licences of products that a filter wants as CSV, while they are read.
func (c *call) streamLicenses(products []*license.Product, filter licenseFilter) error {
	c.ctx.SetContentType(contentCSV)
	if c.ctx.IsHead() {
		return nil
	}
	if !c.usages.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "usage is being read by too many already; send it again"}
	}
	leave := func() { c.usages.leave(c.token.Name) }
	if err := c.engine.DurableInLedger(); err != nil { // Behind the status an error can only cut the answer off.
		leave()
		return err
	}
	s := &licensesStream{pieces: pieces{conn: c.ctx.Conn()}, h: c.Handler, products: products, filter: filter}
	c.stream(&s.pieces, usageStreamWithin, leave, s.run)
	return nil
}

// run writes the whole answer. A status was sent already: on an error the connection is closed, which the client sees
// as an answer that is not whole.
func (s *licensesStream) run(ctx context.Context, w *bufio.Writer) {
	s.lines = append(s.lines, "serial,product,device,source,activated_at,expires_at,state\n"...)
	var err error
	for _, p := range s.products {
		if err = s.product(ctx, w, p); err != nil {
			break
		}
	}
	if err == nil {
		err = s.write(ctx, w, s.lines)
	}
	if err == nil {
		return
	}
	_ = s.conn.Close() // What it fails with says nothing.
	if !s.isGone && !errors.Is(err, shard.ErrStopped) && ctx.Err() == nil {
		s.h.logger.Error("licences could not be sent to their end", "error", err)
	}
}

// product writes the licences of a product. A query ends when a piece is full, and the next one goes on behind it: a
// slow client holds nothing of the ledger.
func (s *licensesStream) product(ctx context.Context, w *bufio.Writer, p *license.Product) error {
	q := query.LicenseQuery{Product: p, Device: s.filter.device}
	for more := true; more; {
		more = false
		err := s.h.queries.Licenses(q, func(l *query.License) bool {
			q.After = l.Row.Serial
			if s.filter.wants(l) {
				s.line(p.Name, l)
			}
			more = len(s.lines) >= licensesCSVBytes
			return !more && ctx.Err() == nil
		})
		if err != nil || !more {
			return errors.Join(err, ctx.Err())
		}
		if err := s.write(ctx, w, s.lines); err != nil {
			return err
		}
		s.lines = s.lines[:0]
	}
	return nil
}

// line appends a line. Names and orders need no quotes: they are of A-Z a-z 0-9 . _ : - alone.
func (s *licensesStream) line(product string, l *query.License) {
	s.lines = serial{s.h.o.Cell, l.Row.Serial}.append(s.lines)
	for _, name := range []string{product, l.Row.Device, l.Source} {
		s.lines = append(append(s.lines, ','), name...)
	}
	for _, atS := range []int64{l.Row.ActivatedS, l.ExpiresS} {
		quoted := event.AppendTime(nil, atS*1000)
		s.lines = append(append(s.lines, ','), quoted[1:len(quoted)-1]...)
	}
	s.lines = append(append(append(s.lines, ','), licenseState(l)...), '\n')
}
