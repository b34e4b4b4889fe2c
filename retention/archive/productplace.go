package archive

import (
	"cmp"
	"math"
)

// ProductPlace orders the rows of a product: by decided time, then by group, then by device, then as the device's own
// Places are ordered. Groups follow each other in time, so this is the order of the log, group by group. As a Place it
// stays the same for ever. The zero ProductPlace lies before all rows.
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
	case p.Tie>>tieAt != q.Tie>>tieAt:
		return cmp.Compare(p.Tie>>tieAt, q.Tie>>tieAt)
	case p.Device != q.Device:
		return cmp.Compare(p.Device, q.Device)
	}
	return cmp.Compare(p.Tie, q.Tie)
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
