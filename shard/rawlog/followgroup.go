package rawlog

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// groupReader decodes groups of the log and finds the rows that somebody follows.
type groupReader struct {
	v     *View
	pace  *pace // nil: at once
	learn func(d *deviceSeats, ordinal uint64)
	raw   []byte
	found []foundRow
}

// foundRow is a row of those who are followed, and who follows it.
type foundRow struct {
	row     *Row
	product *productSeats
	device  *deviceSeats // nil: nobody follows the device alone
}

// begin begins to work.
func (x *groupReader) begin() {
	if x.pace != nil {
		x.pace.began = time.Now()
	}
}

func (x *groupReader) rest() {
	if x.pace != nil {
		x.pace.step()
	}
}

// read returns the rows of a group that the audience follows, in the order of a product, until read is called again. Of
// rows that nobody wants only the header is there. It moves at behind the group.
func (x *groupReader) read(g *commitlog.Group, at *logPlace, a *audience) (found []foundRow, err error) {
	first, others := at.next(g)
	x.found = x.found[:0]
	for _, stored := range g.Chunks {
		if x.raw, err = x.v.inflate.Decompress(x.raw[:0], stored); err == nil {
			err = x.chunk(a)
		}
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", g.Seq, err)
		}
	}
	x.inOrder(g.FirstMs, first, others)
	x.rest()
	return x.found, nil
}

// chunk finds the rows of a chunk that somebody follows.
func (x *groupReader) chunk(a *audience) error {
	c, err := record.Open(x.raw)
	if err != nil {
		return err
	}
	rows := c.Scan()
	if !a.looksUp {
		for rows.Next() {
			x.row(a, &rows.Row, nil)
		}
		x.rest()
		return rows.Err()
	}
	for more := true; more; {
		err := a.named(func(devices views.Devices) {
			for range namesAtOnce {
				if more = rows.Next(); !more {
					return
				}
				x.row(a, &rows.Row, devices)
			}
		})
		if err != nil {
			return err
		}
		x.rest()
	}
	return rows.Err()
}

// row takes a row if somebody follows it.
func (x *groupReader) row(a *audience, row *record.Row, devices views.Devices) {
	f, product := x.whose(a, row, devices)
	if f.device == nil && (f.product == nil || len(f.product.all) == 0) {
		return
	}
	f.row = new(Row)
	rowOf(f.row, row)
	if !row.Named {
		f.row.Device = archive.Known(product, row.Ordinal)
	}
	if f.isWanted() {
		own(f.row)
	}
	x.found = append(x.found, f)
}

// whose returns who follows the device or the product of a row.
func (x *groupReader) whose(a *audience, row *record.Row, devices views.Devices) (f foundRow, product uint32) {
	if row.Named {
		if f.product = a.products[row.Product]; f.product != nil {
			f.device = f.product.devices[string(row.Name)]
		}
		return f, row.Product
	}
	if f.device = a.ordinals[row.Ordinal]; f.device != nil {
		f.product = a.products[f.device.product]
		return f, f.device.product
	}
	if !a.looksUp {
		return f, 0
	}
	product, name := devices.Name(counters.Ordinal(row.Ordinal))
	if f.product = a.products[product]; f.product != nil {
		if f.device = f.product.devices[string(name)]; f.device != nil {
			x.learn(f.device, row.Ordinal)
		}
	}
	return f, product
}

// isWanted reports whether anybody wants the row.
func (f *foundRow) isWanted() bool {
	is := func(s *seat) bool { return s.f.wants(f.row) }
	return slices.ContainsFunc(f.product.all, is) || f.device != nil && slices.ContainsFunc(f.device.seats, is)
}

// own copies what a row has of the log's memory.
func own(r *Row) {
	r.Name, r.ID, r.Topic = bytes.Clone(r.Name), bytes.Clone(r.ID), bytes.Clone(r.Topic)
	r.Payload = bytes.Clone(r.Payload)
}

// inOrder sets the places of the rows that were found, and sorts them as those of a product are sorted.
func (x *groupReader) inOrder(firstMs int64, first, others uint32) {
	slices.SortStableFunc(x.found, func(a, b foundRow) int { return archive.CompareInGroup(a.row, b.row) })
	var orders archive.Orders
	for i := range x.found {
		row := x.found[i].row
		row.Tie = others
		if row.DecidedMs == firstMs {
			row.Tie = first
		}
		orders.Number(row)
	}
}
