package commands

import (
	"cmp"
	"slices"
)

// Refresh is a change of administration after which a gateway must forget what it remembers of a product.
type Refresh struct {
	Seq     uint64 // the number of the change
	Product uint32 // its ordinal; 0 for another change, which nobody is told of
	Account uint32 // the product's
}

// refreshes are the latest refreshes, by rising number. The caller locks.
type refreshes struct {
	list  []Refresh
	floor uint64 // up to here they are in the audit log only
	last  uint64 // the newest change, refresh or not
}

func (r *refreshes) add(n Refresh) {
	if len(r.list) >= refreshesMax {
		half := refreshesMax / 2
		r.floor = r.list[half-1].Seq
		r.list = slices.Clone(r.list[half:])
	}
	r.list = append(r.list, n)
}

// after returns those in memory behind number seq.
func (r *refreshes) after(seq uint64) []Refresh {
	from, _ := slices.BinarySearchFunc(r.list, seq+1, func(n Refresh, seq uint64) int { return cmp.Compare(n.Seq, seq) })
	return r.list[from:]
}
