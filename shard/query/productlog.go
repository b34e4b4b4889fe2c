package query

import (
	"bytes"
	"context"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/rawlog"
)

// ProductPlace is an entry's place among those of its product: by decided time, then by group of the log, then by
// device, the unknown ones first. It stays the same for ever.
type ProductPlace = rawlog.ProductPlace

// LogDevice is a device as the raw log numbers it: a part of a ProductPlace.
type LogDevice = rawlog.Device

// ProductLogQuery asks for the raw log of a product (R18).
type ProductLogQuery struct {
	LogFilter
	Product *license.Product
	After   ProductPlace // go on behind this entry; its Device need not name the product
	// Limit is how many entries are wanted at most; they lie in memory while they are found. 0: all of them, which is for
	// whoever AdmitProductLog has admitted.
	Limit int
}

// Errors of AdmitProductLog.
var (
	ErrBusy   = rawlog.ErrBusy
	ErrNoRoom = rawlog.ErrNoRoom
)

// AdmitProductLog admits a reader of all of a product's log, which is sorted on the disk: few can be at once (ErrBusy),
// and none while the disk runs short (ErrNoRoom). leave must be called once it has been read.
func (r *Reader) AdmitProductLog() (leave func(), err error) { return r.raw.AdmitSort() }

// ProductLog calls fn for the entries of a product's log that q asks for, in the order of their places, until fn
// returns false. However slow fn is, it holds nothing of log or archive, but some of what was sorted for it.
func (r *Reader) ProductLog(ctx context.Context, q ProductLogQuery, fn func(*LogEntry) bool) error {
	raw := r.rawProduct(&q)
	if raw.FromMs > raw.ToMs {
		return nil
	}
	if err := r.engine.Durable(); err != nil {
		return err
	}
	g := named{engine: r.engine, product: q.Product.ID, byTopic: len(q.Topic) > 0, fn: fn}
	var failed error
	err := r.raw.ProductLog(ctx, raw, func(row *rawlog.Row) bool {
		var more bool
		more, failed = g.add(entryOf(row))
		return more
	})
	if err == nil && failed == nil {
		_, failed = g.flush()
	}
	if err == nil {
		err = failed
	}
	return err
}

// rawProduct returns what q asks of the raw log at this instant.
func (r *Reader) rawProduct(q *ProductLogQuery) rawlog.ProductQuery {
	raw := rawlog.ProductQuery{
		Filter: r.filter(&q.LogFilter), Product: q.Product.ID, After: q.After, Oldest: q.Oldest, Rows: q.Limit,
		LogDays: q.Product.Plan.LogDays, Owners: r.owners,
	}
	if raw.After != (ProductPlace{}) {
		raw.After.Device = raw.After.Device.Of(q.Product.ID)
	}
	return raw
}

// owners says whose devices are.
func (r *Reader) owners(ordinals []uint64, products []uint32) error {
	return r.engine.Named(func(devices shard.Names) {
		for i, o := range ordinals {
			products[i], _ = devices.Name(counters.Ordinal(o))
		}
	})
}

// named gives entries their devices' names, some at a time, and hides what is erased by then.
type named struct {
	engine  *shard.Engine
	product uint32
	byTopic bool // entries without a topic are not wanted
	fn      func(*LogEntry) bool
	entries []*LogEntry
	bytes   int
	ended   bool
}

// add takes an entry and reports whether more are wanted.
func (g *named) add(e *LogEntry) (more bool, err error) {
	g.entries = append(g.entries, e)
	g.bytes += len(e.Row.Payload)
	if len(g.entries) < namesAtOnce && g.bytes < namedBytesAtOnce {
		return true, nil
	}
	return g.flush()
}

// flush gives the entries that wait to fn.
func (g *named) flush() (more bool, err error) {
	if len(g.entries) == 0 {
		return !g.ended, nil
	}
	err = g.engine.Named(func(devices shard.Names) {
		for _, e := range g.entries {
			e.name(devices)
		}
	})
	for _, e := range g.entries {
		if err != nil || g.ended {
			break
		}
		if e.hide(g.engine.Catalogue(), g.product, e.Device) && g.byTopic {
			continue
		}
		g.ended = !g.fn(e)
	}
	g.entries, g.bytes = g.entries[:0], 0
	return err == nil && !g.ended, err
}

// name gives an entry its device's name.
func (e *LogEntry) name(devices shard.Names) {
	if e.Device = e.Row.Name; !e.Row.Named {
		_, name := devices.Name(counters.Ordinal(e.Row.Ordinal))
		e.Device = bytes.Clone(name)
	}
}
