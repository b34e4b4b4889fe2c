package archive

import (
	"cmp"
	"math"
)

// ProductPlace orders the rows of a product: by decided time, then by group, then those of unknown devices before those
// of known ones, then by device, then as the device's own Places are ordered. A device is known from some row on, for
// ever, so its rows come as in its own log. Groups follow each other in time, so this is the order of the log, group by
// group. As a Place it stays the same for ever. The zero ProductPlace lies before all rows.
type ProductPlace struct {
	Place
	Device Device
}

// ProductPlace returns the row's place among those of its product.
func (r *Row) ProductPlace() ProductPlace { return ProductPlace{r.Place(), r.Device} }

// Compare returns -1, 0 or 1.
func (p ProductPlace) Compare(q ProductPlace) int {
	switch {
	case p.DecidedMs != q.DecidedMs:
		return cmp.Compare(p.DecidedMs, q.DecidedMs)
	case p.Tie>>orderBits != q.Tie>>orderBits: // the group, and whether the device is known
		return cmp.Compare(p.Tie>>orderBits, q.Tie>>orderBits)
	case p.Device != q.Device:
		return cmp.Compare(p.Device, q.Device)
	}
	return cmp.Compare(p.Tie, q.Tie)
}

// CompareInGroup returns -1, 0 or 1 as the places of two rows of one group compare, which need not be numbered yet.
func CompareInGroup(a, b *Row) int {
	return cmp.Or(
		cmp.Compare(a.DecidedMs, b.DecidedMs), a.Device.compare(b.Device), cmp.Compare(a.Used, b.Used),
	)
}

// direction compares places as a query meets them: oldest first, or newest first.
type direction bool

// compare is negative if p comes before q.
func (oldest direction) compare(p, q ProductPlace) int {
	if oldest {
		return p.Compare(q)
	}
	return q.Compare(p)
}

// edge returns a place that comes before every row that is decided from firstMs to lastMs.
func (oldest direction) edge(firstMs, lastMs int64) ProductPlace {
	if oldest {
		return ProductPlace{Place: Place{DecidedMs: firstMs}}
	}
	return ProductPlace{Place{lastMs, math.MaxUint64}, math.MaxUint64}
}
