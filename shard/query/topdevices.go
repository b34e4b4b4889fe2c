package query

import (
	"context"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// DeviceUse is what a device used on some days in all.
type DeviceUse struct {
	Device   string
	Up, Down uint64
	Denied   uint64
	OTAUnits int64 // less what was given back, so that it may be negative (R17)

	ordinal counters.Ordinal
}

// TopQuery asks for the devices of a product that used most on the days from From to To.
type TopQuery struct {
	Product  *license.Product
	From, To uint32
	Limit    int
	By       func(*DeviceUse) int64 // what is looked for; devices of which it is not above 0 are left out
}

// TopDevices returns the devices that used most, most first, equal ones in the order of their ordinals. Everything that
// was acknowledged before the call is in it. It holds deviceUsesAtOnce devices in memory, and Limit.
func (r *Reader) TopDevices(ctx context.Context, q TopQuery) ([]DeviceUse, error) {
	top, uses := topDevices{by: q.By, limit: q.Limit}, []DeviceUse{}
	s := productDays{r: r, p: q.Product, from: q.From, to: q.To, atOnce: r.usesAtOnce}
	err := s.each(ctx, func() error {
		uses = slices.Grow(uses[:0], len(s.devices))[:len(s.devices)]
		clear(uses)
		err := s.messages(ctx, func(i int, d DeviceDay) {
			u := &uses[i]
			u.Up, u.Down, u.Denied = u.Up+uint64(d.Up), u.Down+uint64(d.Down), u.Denied+d.Denied
		})
		if err != nil {
			return err
		}
		if err := s.ota(func(i int, _ uint32, units int64) { uses[i].OTAUnits += units }); err != nil {
			return err
		}
		for i := range uses {
			uses[i].ordinal = counters.Ordinal(s.devices[i].ordinal)
			top.add(&uses[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = r.engine.Named(func(devices shard.Names) {
		for i := range top.list {
			_, name := devices.Name(top.list[i].ordinal)
			top.list[i].Device = string(name)
		}
	})
	return top.list, err
}

// topDevices keeps the devices of which by is largest.
type topDevices struct {
	by    func(*DeviceUse) int64
	limit int
	list  []DeviceUse // largest first
}

// add takes a device whose ordinal is above those before it.
func (t *topDevices) add(u *DeviceUse) {
	n := t.by(u)
	if n <= 0 || len(t.list) == t.limit && n <= t.by(&t.list[t.limit-1]) {
		return
	}
	// Behind those that are equal, which came before it.
	i, _ := slices.BinarySearchFunc(t.list, n, func(have DeviceUse, n int64) int {
		if t.by(&have) >= n {
			return -1
		}
		return 1
	})
	if len(t.list) == t.limit {
		t.list = t.list[:t.limit-1]
	}
	t.list = slices.Insert(t.list, i, *u)
}
