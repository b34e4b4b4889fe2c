package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/usage/snapshot"
	"github.com/meterd/meterd/usage/snapshot/parts"
)

// A snapshot of all accounts is made by the owner of cell 0. The owners of the other cells send what theirs have.

// partPath is where an owner is asked for its part. Only nodes may.
const partPath = "/internal/snapshots/part"

// partAsked is the body of that call.
type partAsked struct {
	Month uint32 `json:"month"` // counted from January 2020
}

// cutFunc opens what an account's devices and products used in a month, account "" for all.
type cutFunc func(ctx context.Context, account string, month uint32) (snapshot.Source, error)

// ofAllCells returns own for one account, and for all of them what all cells have.
func (n *node) ofAllCells(own cutFunc) cutFunc {
	return func(ctx context.Context, account string, month uint32) (snapshot.Source, error) {
		if account != "" {
			return own(ctx, account, month)
		}
		asked, err := json.Marshal(partAsked{Month: month})
		if err != nil {
			return nil, fmt.Errorf("ask for parts of a snapshot: %w", err)
		}
		sources := make([]snapshot.Source, len(n.cells))
		var all errgroup.Group // It does not end ctx, which the streams go on with.
		all.Go(func() (err error) {
			sources[0], err = own(ctx, "", month)
			return err
		})
		for cell := 1; cell < len(sources); cell++ {
			all.Go(func() error {
				part, err := n.openPart(ctx, cell, asked)
				if err != nil {
					n.logger.Warn("a snapshot lacks the part of a cell", "cell", cell, "error", err)
					return &event.Problem{
						Code: event.Overloaded, Detail: fmt.Sprintf("cell %d does not send its part now; send it again", cell),
					}
				}
				sources[cell] = part
				return nil
			})
		}
		err = all.Wait()
		if err == nil {
			return parts.Join(sources)
		}
		for _, s := range sources {
			if s != nil {
				_ = s.Close() // What went wrong first is said.
			}
		}
		return nil, err
	}
}

func (n *node) openPart(ctx context.Context, cell int, asked []byte) (*parts.Part, error) {
	body, err := n.router.Stream(ctx, cell, partPath, asked)
	if err != nil {
		return nil, err
	}
	return parts.Open(body)
}

// products returns those of an account of cell 0, for account "" those of all cells, as far as this node's copies are;
// none while one is closed.
func (n *node) products(own func() *license.Catalogue) func(account string) []*license.Product {
	return func(account string) []*license.Product {
		list := own().Products(account)
		if account != "" {
			return list
		}
		for _, c := range n.cells[1:] {
			copied := c.catalogue()
			if copied == nil {
				return nil
			}
			list = append(list[:len(list):len(list)], copied.Products("")...)
		}
		return list
	}
}

// sendsParts has a cell's server answer what the owner of cell 0 asks for; next answers everything else.
func (d *daemon) sendsParts(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	if d.cell.Of < 2 {
		return next
	}
	inner := d.hop.Inner()
	place := make(chan struct{}, partsMax)
	return func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != partPath || !ctx.IsPost() || !inner.Holds(ctx.Request.Header.Peek(access.HeaderHop)) {
			next(ctx)
			return
		}
		select {
		case place <- struct{}{}:
			d.sendPart(ctx, func() { <-place })
		default:
			ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		}
	}
}

// sendPart sends the part; leave is called at its end.
func (d *daemon) sendPart(ctx *fasthttp.RequestCtx, leave func()) {
	var asked partAsked
	stream := ctx.RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(ctx.Request.Body())
	}
	if err := json.NewDecoder(io.LimitReader(stream, partAskedBytesMax)).Decode(&asked); err != nil {
		leave()
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return
	}
	source, err := d.state.cutter(d.o.usageRetention)(d.running, "", asked.Month)
	if err != nil {
		leave()
		d.logger.Warn("the part of a snapshot cannot be made", "error", err)
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		return
	}
	conn := ctx.Conn()
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer leave()
		defer source.Close()
		err := parts.Write(d.running, patient{w, conn}, source, func(product string) string {
			if p := d.engine.Catalogue().Product([]byte(product)); p != nil {
				return p.ZoneName
			}
			return ""
		})
		if err != nil {
			d.logger.Warn("the part of a snapshot was not sent to its end", "error", err)
			_ = conn.Close() // It fails on a closed connection.
		}
	})
}

// patient gives whoever reads time for each piece: the parts before it are read first.
type patient struct {
	w    *bufio.Writer
	conn net.Conn
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(partWaits)) // It fails on a closed connection, as writing will.
	n, err := p.w.Write(b)
	if err == nil {
		err = p.w.Flush()
	}
	return n, err
}
