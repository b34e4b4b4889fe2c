package verify

import (
	"cmp"
	"fmt"
	"slices"
)

// recount is the state as the log's events make it, and what is compared with what the log, the checkpoint and the
// ledger say it is. It belongs to one goroutine.
type recount struct {
	cat     *catalogue
	devices devices
	ledger  *ledgerRows // nil: there is none
	figures *Figures

	seq         uint64             // the group in hand
	headVersion byte               // of the group in hand
	lastMs      int64              // its last decided time
	firstMs     int64              // of the log's first group
	fromStart   bool               // that is group 1
	whole       map[[2]uint32]bool // days of products that lie within the log
	serialLast  uint64
	serials     bool   // serialLast is known
	serialFirst uint64 // the first one that the recounted groups may give out; 0 before the first group

	// Of the group in hand.
	pending  []pendingRow
	rolled   []*device // whose word of an older day was replaced
	overflow map[overflowKey][]uint64
	touched  []*product
	found    [findAhead]*device
	products [findAhead]uint32
	steps    []otaStep
	upgrades []otaEffect
	drawn    map[uint32]*draws
	grants   []grant
}

// pendingRow is a row whose turn is not known yet: events of one device in different chunks of a group may be in any
// order.
type pendingRow struct {
	d *device
	row
}

// group recounts one group.
func (r *recount) group(g *group) error {
	r.seq, r.lastMs, r.headVersion = g.seq, g.lastMs, g.head.version
	if err := r.bind(g.bindings); err != nil {
		return err
	}
	r.pending, r.rolled, r.steps, r.grants = r.pending[:0], r.rolled[:0], r.steps[:0], r.grants[:0]
	r.upgrades = r.upgrades[:0]
	alone := len(g.chunks) == 1
	for i := range g.chunks {
		r.figures.Events += uint64(len(g.chunks[i].rows))
		if err := r.rows(&g.chunks[i], alone); err != nil {
			return err
		}
	}
	if err := r.resolve(); err != nil {
		return err
	}
	for _, step := range []func(*group) error{
		r.closedWords, r.licenses, r.otaWords, r.pools, r.dayEnds, r.heads,
	} {
		if err := step(g); err != nil {
			return err
		}
	}
	for _, encoded := range g.head.changes {
		if err := r.cat.change(encoded); err != nil {
			return err
		}
		r.figures.Changes++
	}
	r.figures.Groups++
	return r.bounds()
}

// bind takes the names of new devices.
func (r *recount) bind(list []binding) error {
	for _, b := range list {
		p := r.cat.product(b.product)
		if p == nil {
			return r.differs("device %s is bound to product %d, which no change has made", b.name, b.product)
		}
		d := r.devices.find(b.ordinal)
		switch {
		case d == nil:
			d = r.devices.bind(b.ordinal, b.product, b.name)
		case d.product != b.product || string(r.devices.nameOf(d)) != string(b.name):
			return r.differs("device %s of product %s is bound to number %d, which %s has", b.name, p.name, b.ordinal,
				r.deviceName(d))
		case d.known != 0:
			return r.differs("%s is bound a second time", r.deviceName(d))
		}
		d.known = 0xff // It is new: it has counted nothing.
	}
	return nil
}

// rows recounts the events of one chunk. Alone in its group, its rows are in the order in which they were decided.
func (r *recount) rows(l *lane, alone bool) error {
	for from := 0; from < len(l.rows); from += findAhead {
		rows := l.rows[from:min(from+findAhead, len(l.rows))]
		for i := range rows {
			if rows[i].isNamed() {
				r.found[i], r.products[i] = nil, rows[i].product
				continue
			}
			d := r.devices.find(rows[i].ordinal)
			if d == nil {
				return r.differs("an event names device %d, which nothing has bound", rows[i].ordinal)
			}
			r.found[i], r.products[i] = d, d.product // The device is read here, beside the others of the block.
		}
		for i := range rows {
			if err := r.row(&rows[i], r.found[i], r.products[i], alone); err != nil {
				return err
			}
		}
	}
	return r.otaSteps(l)
}

func (r *recount) row(e *row, d *device, id uint32, alone bool) error {
	p := r.cat.product(id)
	if p == nil {
		return r.differs("an event names product %d, which no change has made", id)
	}
	switch {
	case e.isMessage():
		if alone {
			return r.message(p, d, e)
		}
		if e.word == d.words[0]+r.step(p, e) && d.knows(0) && p.planKnown {
			return r.message(p, d, e)
		}
		r.pending = append(r.pending, pendingRow{d, *e})
	case e.isCounted():
		if alone {
			return r.deniedMessage(p, d, e)
		}
		r.pending = append(r.pending, pendingRow{d, *e})
	case e.isDenied() && !(e.typ() == typeOTA && e.code == codeOTAQuota): // That one is counted by its word.
		units := uint64(1)
		if e.typ() == typeUp || e.typ() == typeDown {
			units = r.units(p, e)
		}
		p.touch(r).at(e.ms, p.dayAt(e.ms)).deny(e.typ(), e.code, units)
	}
	return nil
}

// resolve recounts the rows that waited, in the order of the words that they left.
func (r *recount) resolve() error {
	slices.SortFunc(r.pending, func(a, b pendingRow) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(dayOf(a.word), dayOf(b.word)),
			cmp.Compare(rank(&a.row), rank(&b.row)), cmp.Compare(a.ms, b.ms))
	})
	for i := range r.pending {
		e := &r.pending[i]
		p := r.cat.product(e.d.product)
		var err error
		if e.isMessage() {
			err = r.message(p, e.d, &e.row)
		} else {
			err = r.deniedMessage(p, e.d, &e.row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rank orders the rows of one day of a device: every one raises what it counts.
func rank(e *row) uint64 {
	if e.isMessage() {
		return usedOf(e.word)
	}
	return countsOf(e.word)
}

// units returns what a message counts (R13), 0 while the plan is not known.
func (r *recount) units(p *product, e *row) uint64 {
	if !p.planKnown {
		p.touch(r).gap = true
		return 0
	}
	return p.plan.messageUnits(e.size)
}

// step returns what an accepted message raises its word by.
func (r *recount) step(p *product, e *row) uint64 {
	units := p.plan.messageUnits(e.size)
	if e.typ() == typeUp {
		return units << upShift
	}
	return units
}

// touch notes that the group has something of the product.
func (p *product) touch(r *recount) *product {
	if len(p.inGroup) == 0 && !p.gap {
		r.touched = append(r.touched, p)
	}
	return p
}

// message recounts an accepted message: its word is the one before and its units, on the running day of the product or
// the later one that the word had (R12), and not above the plan (R10).
func (r *recount) message(p *product, d *device, e *row) error {
	day, local := dayOf(e.word), p.dayAt(e.ms)
	cur, known := r.before(p, d, 0, day, local)
	if known && day != max(local, dayOf(d.words[0])) || day < dayOf(d.words[0]) || day < local {
		return r.differs("%s, day %s: a message was counted on day %s, the device's last day is %s", r.deviceName(d),
			dayName(local), dayName(day), dayName(dayOf(d.words[0])))
	}
	want := cur + r.step(p, e)
	units := p.plan.messageUnits(e.size)
	switch {
	case known && p.planKnown && e.word != want:
		return r.differs("%s, day %s: %s says %d up and %d down after it, recounted are %d and %d", r.deviceName(d),
			dayName(day), describe(e), upOf(e.word), downOf(e.word), upOf(want), downOf(want))
	case known && usedOf(e.word) <= usedOf(cur):
		return r.differs("%s, day %s: the units fell from %d to %d", r.deviceName(d), dayName(day), usedOf(cur),
			usedOf(e.word))
	case e.would != 0:
		if err := r.observed(p, d, e, codeMessageQuota, usedOf(e.word) > p.plan.messagesPerDay); err != nil {
			return err
		}
	case p.planKnown && usedOf(e.word) > p.plan.messagesPerDay:
		return r.differs("%s, day %s: %d units were accepted, the plan allows %d", r.deviceName(d), dayName(day),
			usedOf(e.word), p.plan.messagesPerDay)
	}
	if !p.planKnown {
		units = r.units(p, e)
	}
	r.replace(d, 0, e.word)
	t := p.touch(r).at(e.ms, day)
	if e.typ() == typeUp {
		t.fields[totalUp] += units
	} else {
		t.fields[totalDown] += units
	}
	r.wouldDeny(t, e, codeMessageQuota, units)
	return nil
}

// wouldDeny counts a row that says that the quota would have denied it. Heads of the version before do not.
func (r *recount) wouldDeny(t *totals, e *row, code byte, n uint64) {
	if e.would != 0 && r.headVersion > headVersionMin {
		t.deny(e.typ(), code|codeWould, n)
	}
}

// observed checks a row that says that the quota would have denied it: its product only observed, and it is beyond the
// plan.
func (r *recount) observed(p *product, d *device, e *row, code byte, beyond bool) error {
	switch {
	case e.would != code || p.mode.isKnown && !p.mode.observes:
		return r.differs("%s: %s was accepted with the note that code %d would have denied it, which its product does not "+
			"allow", r.deviceName(d), describe(e), e.would)
	case p.planKnown && !beyond:
		return r.differs("%s: %s is said to be beyond the plan, and is not", r.deviceName(d), describe(e))
	}
	return nil
}

// deniedMessage recounts a message that the quota denied (R11).
func (r *recount) deniedMessage(p *product, d *device, e *row) error {
	day, local := dayOf(e.word), p.dayAt(e.ms)
	cur, known := r.before(p, d, 1, day, local)
	if day < dayOf(d.words[1]) || day < local {
		return r.differs("%s, day %s: a denial was counted on day %s, the device's last day is %s", r.deviceName(d),
			dayName(local), dayName(day), dayName(dayOf(d.words[1])))
	}
	units := r.units(p, e)
	want := cur + min(units, deniedMax-countsOf(cur))
	if known && p.planKnown && e.word != want {
		return r.differs("%s, day %s: %s says %d units denied after it, recounted are %d", r.deviceName(d), dayName(day),
			describe(e), countsOf(e.word), countsOf(want))
	}
	if known {
		units = countsOf(e.word) - countsOf(cur)
	}
	r.replace(d, 1, e.word)
	p.touch(r).at(e.ms, day).deny(e.typ(), e.code, units)
	return nil
}

// before returns the word that counts on a day before an event. It is not known when the log began within that day
// and nothing was said since.
func (r *recount) before(p *product, d *device, i int, day, local uint32) (cur uint64, known bool) {
	if d.knows(i) {
		return onDay(d.words[i], day), true
	}
	if day == local && p.window.DayStartMs > r.firstMs {
		return uint64(day) << dayShift, true
	}
	return onDay(d.words[i], day), false
}

// replace gives a device its word after an event. The word of an older day is kept until that day has ended.
func (r *recount) replace(d *device, i int, word uint64) {
	if old := d.words[i]; dayOf(old) != dayOf(word) {
		r.roll(d, i, old)
	}
	d.words[i] = word
	d.know(i)
}

func describe(e *row) string {
	verb := "accepted"
	if e.isDenied() {
		verb = "denied"
	}
	return fmt.Sprintf("the %s of %d bytes that was %s", typeNames[e.typ()], e.size, verb)
}
