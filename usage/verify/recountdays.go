package verify

import "slices"

// A day's word is closed when a later day's replaces it, or when the day's scan finds it still in the table: then the
// log has it as closed, so that the ledger can keep it. When every word of the day is, the log says that it has ended.

// Bits of device.said.
const (
	saidWord   = 1 << 0 // << index: the log has the word as closed
	saidClosed = 1 << 2 // << index: and the one before it, which is in device.closed
	saidVague  = 1 << 4 // << index: the log began later: what the word was before is not known
)

// overflowKey names a word of a device that has several days that have not ended.
type overflowKey struct {
	ordinal uint64
	index   int
}

// roll keeps the word of a day that the device has gone on from, until that day has ended.
func (r *recount) roll(d *device, i int, old uint64) {
	said := d.said&(saidWord<<i) != 0
	d.said &^= saidWord<<i | saidClosed<<i
	if countsOf(old) == 0 {
		return
	}
	if d.closed[i] != 0 {
		k := overflowKey{d.ordinal, i}
		r.overflow[k] = append(r.overflow[k], d.closed[i])
	}
	d.closed[i] = old
	if said {
		d.said |= saidClosed << i
	}
	r.rolled = append(r.rolled, d)
}

// closedWords compares the closed words of a group with the words that were recounted, and demands one for each word
// that the group replaced.
func (r *recount) closedWords(g *group) error {
	for c := range g.chunks {
		for _, w := range g.chunks[c].effects.closed {
			if err := r.closedWord(w); err != nil {
				return err
			}
		}
	}
	for _, d := range r.rolled {
		for i, w := range d.closed {
			if w != 0 && d.said&(saidClosed<<i) == 0 {
				return r.differs("%s, day %s: its %s were replaced, and the log does not have them as closed", r.deviceName(d),
					dayName(dayOf(w)), wordNames[i])
			}
		}
	}
	return nil
}

var wordNames = [...]string{"messages", "denials", "upgrades", "licence"}

func (r *recount) closedWord(w deviceWord) error {
	d := r.devices.find(w.ordinal)
	if d == nil {
		return r.differs("a closed word names device %d, which nothing has bound", w.ordinal)
	}
	i := int(w.index) - 2
	if i != 0 && i != 1 {
		return r.differs("%s: a closed word has the place %d", r.deviceName(d), w.index)
	}
	r.figures.ClosedWords++
	switch {
	case w.word == d.closed[i]:
		d.said |= saidClosed << i
	case d.knows(i) && w.word == d.words[i]:
		d.said |= saidWord << i
	case !d.knows(i):
		d.words[i] = w.word
		d.know(i)
		d.said |= saidWord << i
	case d.closed[i] == 0 && d.said&(saidVague<<i) != 0 && dayOf(w.word) < dayOf(d.words[i]):
		d.closed[i] = w.word
		d.said = d.said&^(saidVague<<i) | saidClosed<<i
	case slices.Contains(r.overflow[overflowKey{d.ordinal, i}], w.word):
	default:
		have := d.words[i]
		if d.closed[i] != 0 && dayOf(d.closed[i]) == dayOf(w.word) {
			have = d.closed[i]
		}
		return r.differs("%s, day %s: %s closed with %s, recounted are %s on %s", r.deviceName(d), dayName(dayOf(w.word)),
			wordNames[i], countsText(i, w.word), countsText(i, have), dayName(dayOf(have)))
	}
	return nil
}

// dayEnds checks that all words of days that the log says have ended were closed, and compares these days with the
// ledger.
func (r *recount) dayEnds(g *group) error {
	var ends map[uint32]*endedDay
	for c := range g.chunks {
		for _, e := range g.chunks[c].effects.dayEnds {
			p := r.cat.product(e.product)
			if p == nil {
				return r.differs("a day of product %d ended, which no change has made", e.product)
			}
			if e.day <= p.closedThrough {
				continue // A restart may say it again.
			}
			if ends == nil {
				ends = map[uint32]*endedDay{}
			}
			if have := ends[e.product]; have == nil || have.day < e.day {
				ends[e.product] = &endedDay{product: p, day: e.day, after: p.closedThrough}
			}
		}
	}
	if ends == nil {
		return nil
	}
	for d := range r.devices.all() {
		if e := ends[d.product]; e != nil {
			if err := r.endDay(d, e); err != nil {
				return err
			}
		}
	}
	for _, e := range ends {
		if err := e.finish(r); err != nil {
			return err
		}
		e.product.closedThrough = e.day
		r.figures.DayEnds++
		if err := r.settle(e.product); err != nil {
			return err
		}
	}
	return nil
}

// endedDay is a day of a product that has ended, with those before it that had not.
type endedDay struct {
	product    *product
	after, day uint32
	rows       dayRows
}

// endDay takes what a device used on the days that have ended.
func (r *recount) endDay(d *device, e *endedDay) error {
	use := func(i int, word uint64) {
		if day := dayOf(word); countsOf(word) > 0 && day <= e.day && day > e.after {
			e.rows.words = append(e.rows.words, dayWord{day, i, word})
		}
	}
	for i := range d.closed {
		k := overflowKey{d.ordinal, i}
		for _, w := range r.overflow[k] {
			use(i, w)
		}
		if list := slices.DeleteFunc(r.overflow[k], func(w uint64) bool { return dayOf(w) <= e.day }); len(list) == 0 {
			delete(r.overflow, k)
		} else {
			r.overflow[k] = list
		}
		use(i, d.closed[i])
		if dayOf(d.closed[i]) <= e.day {
			d.closed[i] = 0
		}
		w := d.words[i]
		if !d.knows(i) || countsOf(w) == 0 || dayOf(w) > e.day {
			continue
		}
		if d.said&(saidWord<<i) == 0 && dayOf(w) > e.after {
			return r.differs("%s, day %s: the day has ended, and the log does not have its %s as closed", r.deviceName(d),
				dayName(dayOf(w)), wordNames[i])
		}
		use(i, w)
	}
	return e.device(r, d)
}
