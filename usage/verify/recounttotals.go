package verify

import "slices"

// heads compares the totals that the head of a group gives with those of its events.
func (r *recount) heads(g *group) error {
	said := g.head.totals
	slices.SortFunc(r.touched, func(a, b *product) int { return int(a.id) - int(b.id) })
	for _, p := range r.touched {
		slices.SortFunc(p.inGroup, func(a, b *bucketTotals) int { return a.order(b.bucket) })
		n := 0
		for n < len(said) && said[n].product == p.id {
			n++
		}
		if n < len(said) && n == 0 && said[0].product < p.id {
			return r.differs("the head has totals of product %d, of which the group has no event", said[0].product)
		}
		if err := r.headOf(p, said[:n]); err != nil {
			return err
		}
		said = said[n:]
		p.free = append(p.free, p.inGroup...)
		p.inGroup, p.gap = p.inGroup[:0], false
	}
	if len(said) > 0 {
		return r.differs("the head has totals of product %d, of which the group has no event", said[0].product)
	}
	r.touched = r.touched[:0]
	return nil
}

// headOf compares the totals of one product.
func (r *recount) headOf(p *product, said []bucketTotals) error {
	for i := range p.inGroup {
		b := p.inGroup[i]
		if i >= len(said) || said[i].bucket != b.bucket {
			return r.differs("product %s: the head has no totals of the quarter of an hour %s of day %s, in which the group "+
				"has events: %s", p.name, quarterName(b.quarter), dayName(b.day), b.totals.String())
		}
		if b.order(p.last) < 0 {
			return r.differs("product %s: totals of %s follow those of %s", p.name, quarterName(b.quarter),
				quarterName(p.last.quarter))
		}
		if b.bucket != p.last && p.last != (bucket{}) && r.ledger.applies(r) {
			if err := r.ledger.bucket(r, p); err != nil {
				return err
			}
		}
		if p.totalKnown && b.bucket != p.last && r.ledger.applies(r) {
			if err := r.ledger.dayBegins(r, p, b.bucket); err != nil {
				return err
			}
		}
		if p.first == (bucket{}) {
			p.first = b.bucket
		}
		if b.bucket != p.last {
			p.buckets++
		}
		p.noteMonth(b.bucket)
		p.last = b.bucket
		p.total.add(&b.totals)
		if err := r.headTotals(p, &said[i]); err != nil {
			return err
		}
		if err := r.settle(p); err != nil {
			return err
		}
	}
	if len(said) > len(p.inGroup) {
		return r.differs("product %s: the head has totals of %s, in which the group has no event", p.name,
			quarterName(said[len(p.inGroup)].quarter))
	}
	p.totalKnown = true
	return nil
}

// headTotals compares the totals that a head gives of a bucket, or takes them where they could not be recounted.
func (r *recount) headTotals(p *product, said *bucketTotals) error {
	if !p.totalKnown || p.gap {
		p.total = said.clone()
		r.figures.TotalsTaken++
		return nil
	}
	var err error
	said.compare(&p.total, equal, func(name string, a, b uint64) {
		err = r.differs("product %s, day %s, quarter of an hour %s: the head says %s %d, recounted are %d", p.name,
			dayName(said.day), quarterName(said.quarter), name, a, b)
	})
	if err == nil {
		r.figures.Totals++
	}
	return err
}
