package query

import (
	"context"

	"github.com/meterd/meterd/shard/rawlog"
)

// FollowDevice calls fn for the device's log entries that q asks for, oldest first, and then for those that come, until
// fn returns false or ctx ends; then it returns nil. None is missed and none comes twice. However slow fn is, it holds
// nothing of the log. ToMs and Oldest of the query are not looked at. idle is told now and then, while no entry comes,
// behind which place the log goes on.
func (r *Reader) FollowDevice(
	ctx context.Context, q LogQuery, idle func(LogPlace), fn func(*LogEntry) bool,
) error {
	raw := rawlog.Query{
		Product: q.Product.ID, Device: q.Device, Type: q.Type, After: q.After, LogDays: q.Product.Plan.LogDays,
		FromMs: max(q.FromMs, r.engine.NowMs()-r.retention.Milliseconds()),
	}
	return r.raw.FollowDevice(ctx, raw, rawlog.Following{
		Now: r.engine.NowMs,
		Find: func() (ordinal uint64, isKnown bool, err error) {
			err = r.View(func(v *View) {
				if slot := v.Table.Find(v.Table.KeyOf(q.Product.ID, q.Device)); slot != nil {
					ordinal, isKnown = uint64(slot.Ordinal()), true
				}
			})
			return ordinal, isKnown, err
		},
		Idle: func(p rawlog.Place) { idle(p) },
	}, func(row *rawlog.Row) bool { return fn(entryOf(row)) })
}
