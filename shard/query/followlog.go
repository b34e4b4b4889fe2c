package query

import (
	"context"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/rawlog"
)

// FollowDevice calls fn for the device's log entries that q asks for, oldest first, and then for those that come, until
// fn returns false or ctx ends; then it returns nil. None is missed and none comes twice. However slow fn is, it holds
// nothing of the log: what it does not take in time is searched for later. ToMs and Oldest of the query are not looked
// at. idle is told now and then, while no entry comes, behind which place the log goes on.
func (r *Reader) FollowDevice(ctx context.Context, q LogQuery, idle func(ProductPlace), fn func(*LogEntry) bool) error {
	raw := rawlog.Query{
		Filter: r.filter(&q.LogFilter), Product: q.Product.ID, Device: q.Device, After: q.After,
		LogDays: q.Product.Plan.LogDays,
	}
	o := r.following(idle)
	o.Find = func() (ordinal uint64, isKnown bool, err error) {
		err = r.View(func(v *View) { ordinal, isKnown = v.ordinal(q.Product, q.Device) })
		return ordinal, isKnown, err
	}
	return r.raw.FollowDevice(ctx, raw, o, func(row *rawlog.Row) bool {
		e := entryOf(row)
		if e.hide(r.engine.Catalogue(), q.Product.ID, q.Device) && len(q.Topic) > 0 {
			return true
		}
		return fn(e)
	})
}

// FollowProduct is FollowDevice for all devices of a product.
func (r *Reader) FollowProduct(
	ctx context.Context, q ProductLogQuery, idle func(ProductPlace), fn func(*LogEntry) bool,
) error {
	g := named{engine: r.engine, product: q.Product.ID, byTopic: len(q.Topic) > 0, fn: fn}
	var failed error
	o := r.following(idle)
	o.Pause = func() (more bool) {
		more, failed = g.flush()
		return more
	}
	err := r.raw.FollowProduct(ctx, r.rawProduct(&q), o, func(row *rawlog.Row) (more bool) {
		more, failed = g.add(entryOf(row))
		return more
	})
	if err == nil {
		err = failed
	}
	return err
}

// following says how the log is followed.
func (r *Reader) following(idle func(ProductPlace)) rawlog.Following {
	return rawlog.Following{Now: r.engine.NowMs, Named: r.engine.Named, Idle: idle}
}

// ordinal returns the ordinal of a device, if it has one.
func (v *View) ordinal(p *license.Product, device []byte) (ordinal uint64, isKnown bool) {
	slot := v.Table.Find(v.Table.KeyOf(p.ID, device))
	if slot == nil {
		return 0, false
	}
	return uint64(slot.Ordinal()), true
}
