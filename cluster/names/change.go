package names

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/event"
)

// change has a cell do what a request asks for, under a reservation if it asks for one.
func (d *Directory) change(ctx context.Context, c *fasthttp.RequestCtx, cell int) error {
	for try := 1; ; try++ {
		if err := d.o.Forward(ctx, c, cell, 0); err != nil {
			return err
		}
		want, is, err := askedFor(&c.Response)
		if err != nil || !is {
			return err
		}
		c.Response.Reset()
		g, err := d.reserve(ctx, want, cell)
		switch {
		case err != nil:
			return err
		case g.Number != 0:
			return d.under(ctx, c, g.Cell, settlement{nameMessage: want.nameMessage, Number: g.Number}, want.deletes)
		case try == deletedMax:
			return &event.Problem{Code: event.Overloaded, Detail: want.Name + " was deleted just now; send it again"}
		}
		// An equal call has deleted it since the cell was asked: the cell says so.
	}
}

// reserve reserves what a cell asked for. A name that somebody else is being given is waited for a little: it is free
// soon, or taken. Errors that say nothing of the outcome leave a name that is open, which cell 0's owner frees: nothing
// was sent under it.
func (d *Directory) reserve(ctx context.Context, want asked, cell int) (given, error) {
	for until := time.Now().Add(d.openWait); ; {
		g, err := d.reserveOnce(ctx, want, cell)
		var p *event.Problem
		switch {
		case err == nil:
			return g, nil
		case !errors.As(err, &p) || p.Code != event.Overloaded || time.Now().After(until):
			return g, nothingDone(err)
		}
		select {
		case <-time.After(openEvery):
		case <-ctx.Done():
			return g, p
		}
	}
}

func (d *Directory) reserveOnce(ctx context.Context, want asked, cell int) (given, error) {
	if want.deletes {
		return call.Once[given](ctx, d.o.Client, 0, methodReopen, want.nameMessage)
	}
	return call.Once[given](ctx, d.o.Client, 0, methodReserve, reservation{want.nameMessage, cell})
}

// nothingDone makes a refusal of an error after which nothing is changed that the client could notice.
func nothingDone(err error) error {
	var p *event.Problem
	if errors.As(err, &p) {
		return p
	}
	return &event.Problem{Code: event.Overloaded, Detail: "the cell that gives names did not answer; send it again"}
}

// under sends a request under a reservation, and settles it by what the cell says then. If the cell says so, nothing
// was changed although there is no answer, and nothing will be.
func (d *Directory) under(ctx context.Context, c *fasthttp.RequestCtx, cell int, s settlement, deletes bool) error {
	sent := d.o.Forward(ctx, c, cell, s.Number)
	if sent == nil && c.Response.StatusCode()/100 == 2 {
		s.IsThere = !deletes
		d.settle(ctx, s)
		return nil
	}
	q := refusal{nameMessage: s.nameMessage}
	if sent != nil {
		q.UpTo = s.Number // It may still be on its way.
	}
	var err error
	if s.IsThere, err = call.Again[bool](ctx, d.o.Client, cell, methodRefuse, q); err != nil {
		return sent // An answer of the cell is true; cell 0's owner settles it.
	}
	d.settle(ctx, s)
	if sent != nil && s.IsThere == deletes {
		return &event.Problem{Code: event.Overloaded, Detail: "the cell did not answer, nothing was changed; send it again"}
	}
	if errors.Is(sent, ErrUnsent) {
		return errors.New("what nobody was sent is done")
	}
	return sent
}

// settle ends a reservation. What fails here cell 0's owner does later.
func (d *Directory) settle(ctx context.Context, s settlement) {
	if _, err := call.Again[struct{}](ctx, d.o.Client, 0, methodSettle, s); err != nil {
		d.o.Logger.Warn("a name stays open until the owner of cell 0 settles it",
			"kind", s.Kind.String(), "name", s.Name, "error", err)
	}
}
