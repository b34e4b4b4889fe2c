package verify

import (
	"cmp"
	"slices"
)

// draws are the pack units of one product that a group's upgrades took and gave back.
type draws struct {
	product      *product
	taken, given uint64
	gap          bool // of some upgrade it is not known
}

func (r *recount) draws(p *product) *draws {
	d := r.drawn[p.id]
	if d == nil {
		d = &draws{product: p}
		r.drawn[p.id] = d
	}
	return d
}

// licenses recounts the licences of a group: each serial is the next one, each pool is drawn from once for each (R4,
// R5), each device's generation is one more (R1).
func (r *recount) licenses(g *group) error {
	for c := range g.chunks {
		r.grants = append(r.grants, g.chunks[c].effects.grants...)
	}
	slices.SortFunc(r.grants, func(a, b grant) int { return cmp.Compare(a.serial, b.serial) })
	for i := range r.grants {
		s := r.grants[i].serial
		if i > 0 && s == r.grants[i-1].serial {
			return r.differs("licence %d was consumed twice", s)
		}
		if s > g.head.serialLast || r.serials && s != r.serialLast+1+uint64(i) {
			return r.differs("licence %d was consumed after %d, and the group's last is %d", s, r.serialLast+uint64(i),
				g.head.serialLast)
		}
	}
	if n := uint64(len(r.grants)); r.serials && r.serialLast+n != g.head.serialLast {
		return r.differs("the last licence is %d, recounted are %d", g.head.serialLast, r.serialLast+n)
	}
	if r.serialFirst == 0 {
		r.serialFirst = g.head.serialLast - uint64(len(r.grants)) + 1
	}
	r.serialLast, r.serials = g.head.serialLast, true
	for i := range r.grants { // In the order in which the ledger has them.
		l := &r.grants[i]
		if d := r.devices.find(l.ordinal); d == nil {
			return r.differs("licence %d went to device %d, which nothing has bound", l.serial, l.ordinal)
		} else if err := r.ledger.license(r, r.cat.product(d.product), d, l); err != nil {
			return err
		}
	}
	// Several licences of one device in one group: in the order of their words.
	slices.SortStableFunc(r.grants, func(a, b grant) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.word, b.word))
	})
	for i := range r.grants {
		if err := r.license(&r.grants[i]); err != nil {
			return err
		}
	}
	if err := r.drawnFrom(); err != nil {
		return err
	}
	return r.licenseWords(g)
}

func (r *recount) license(l *grant) error {
	d := r.devices.find(l.ordinal)
	generation := generationOf(l.word)
	if before := generationOf(d.words[3]); d.knows(3) && generation != before+1 {
		return r.differs("%s: its licence %d is its %dth, recounted are %d before it", r.deviceName(d), l.serial,
			generation, before)
	}
	d.words[3] = l.word
	d.know(3)
	p := r.cat.product(d.product)
	ms := l.activatedS * 1000 // It was decided within this second, so in this bucket.
	t := p.touch(r).at(ms, p.dayAt(ms))
	t.fields[totalLicenses]++
	p.licenses++
	if generation == 1 {
		t.fields[totalActivations]++
	}
	r.figures.Licenses++
	return nil
}

// drawnFrom recounts the pools of the group's licences: each licence raised its pool by one.
func (r *recount) drawnFrom() error {
	slices.SortFunc(r.grants, func(a, b grant) int {
		return cmp.Or(cmp.Compare(a.pool, b.pool), cmp.Compare(a.drawn, b.drawn))
	})
	for i := range r.grants {
		l := &r.grants[i]
		d := r.devices.find(l.ordinal)
		q, p := r.cat.pools[l.pool], r.cat.product(d.product)
		gifts := r.cat.accounts[p.account]
		isGift := gifts != nil && gifts.gifts == l.pool
		if q == nil || q.units || q.product != p.id && !isGift {
			return r.differs("%s drew licence %d from pool %d, which is not its product's", r.deviceName(d), l.serial, l.pool)
		}
		if q.known && l.drawn != q.drawn+1 {
			return r.differs("%s: %d licences are drawn by licence %d, recounted are %d", r.poolName(q), l.drawn, l.serial,
				q.drawn+1)
		}
		q.drawn, q.known = l.drawn, true
		r.cat.moved = append(r.cat.moved, q)
		if isGift {
			p.gifts++
		}
		p.giftsSaid = max(p.giftsSaid, l.gifts)
	}
	for i := range r.grants { // Each licence says its product's gifts at its time: the group's last one says them all.
		p := r.cat.product(r.devices.find(r.grants[i].ordinal).product)
		if !p.giftsKnown {
			p.gifts, p.giftsKnown = p.giftsSaid, true
		}
		if p.gifts != p.giftsSaid {
			return r.differs("product %s: %d gifts are drawn, recounted are %d", p.name, p.giftsSaid, p.gifts)
		}
	}
	return nil
}

// licenseWords takes the states of licences that ended.
func (r *recount) licenseWords(g *group) error {
	for c := range g.chunks {
		for _, w := range g.chunks[c].effects.licenses {
			d := r.devices.find(w.ordinal)
			if d == nil {
				return r.differs("a licence's word names device %d, which nothing has bound", w.ordinal)
			}
			if d.knows(3) && generationOf(w.word) > generationOf(d.words[3]) {
				return r.differs("%s: its licence is the %dth, recounted are %d", r.deviceName(d), generationOf(w.word),
					generationOf(d.words[3]))
			}
			if !d.knows(3) || licenseOf(w.word) > licenseOf(d.words[3]) {
				d.words[3] = w.word
				d.know(3)
			}
		}
		for _, e := range g.chunks[c].effects.ends {
			d := r.devices.find(e.ordinal)
			if d == nil {
				return r.differs("the end of licence %d names device %d, which nothing has bound", e.serial, e.ordinal)
			}
			r.figures.Ends++
			if err := r.ledger.end(r, r.cat.product(d.product), d, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// pools compares what the packs of each product say was drawn and returned with the units of the group's upgrades.
func (r *recount) pools(g *group) error {
	var list []pooled
	for c := range g.chunks {
		list = append(list, g.chunks[c].effects.pools...)
	}
	for _, x := range list {
		q := r.cat.pools[x.pool]
		if q == nil || !q.units {
			return r.differs("units were drawn from pool %d, which is no pack", x.pool)
		}
		d := r.draws(r.cat.product(q.product))
		d.gap = d.gap || !q.known
		if x.drawn > q.drawn {
			d.taken -= x.drawn - q.drawn
		}
		if x.returned > q.returned {
			d.given -= x.returned - q.returned
		}
		q.drawn, q.returned = max(q.drawn, x.drawn), max(q.returned, x.returned)
		r.cat.moved = append(r.cat.moved, q)
	}
	for _, x := range list {
		r.cat.pools[x.pool].known = true
	}
	for id, d := range r.drawn {
		if !d.gap && (d.taken != 0 || d.given != 0) {
			return r.differs("product %s: its packs gave %d units less, and took back %d less, than its upgrades count",
				d.product.name, int64(d.taken), int64(d.given))
		}
		delete(r.drawn, id)
	}
	return nil
}

// bounds checks that nothing was drawn that was not put in (R4, R8), of the pools that the group changed.
func (r *recount) bounds() error {
	defer func() { r.cat.moved = r.cat.moved[:0] }()
	for _, q := range r.cat.moved {
		if !q.known {
			continue
		}
		if in, out := q.credited-q.takenBack, q.drawn-q.returned; q.returned > q.drawn || out > in {
			return r.differs("%s: %d were drawn less %d returned, of %d credited less %d taken back", r.poolName(q), q.drawn,
				q.returned, q.credited, q.takenBack)
		}
	}
	return nil
}

func (r *recount) poolName(q *pool) string {
	if p := r.cat.product(q.product); p != nil {
		kind := "lot "
		if q.units {
			kind = "pack "
		}
		return kind + q.order + " of product " + p.name
	}
	for _, a := range r.cat.accounts {
		if a.gifts == q.id {
			return "the gifts of account " + a.name
		}
	}
	return "a pool of nobody"
}
