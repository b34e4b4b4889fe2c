package query

import (
	"context"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard"
)

// Held adds to each of some producers, by its ordinal, the devices that it holds online. Devices are looked at some at
// a time: the sum is not of one instant. It ends with ctx.
func (r *Reader) Held(ctx context.Context, producers map[uint32]int64) error {
	next := counters.Ordinal(0)
	for isEnd := false; !isEnd; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.engine.Look(func(v *shard.View) {
			left := heldScan
			isEnd = true
			v.Table.Walk(next, func(o counters.Ordinal, _ uint32, _ []byte) bool {
				next = o
				if left--; left < 0 {
					isEnd = false
					return false
				}
				slot := v.Table.SlotOf(o)
				if slot == nil || !slot.Session().Online() {
					return true
				}
				holder := slot.Session().Holder()
				if held, isAsked := producers[holder]; isAsked {
					producers[holder] = held + 1
				}
				return true
			})
		})
		if err != nil {
			return err
		}
	}
	return r.engine.Durable()
}
