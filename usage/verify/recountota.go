package verify

import (
	"bytes"
	"cmp"
	"slices"
)

// otaStep is one event that changed a device's w4, or gave back units of a month that is over.
type otaStep struct {
	d    *device
	row  *row
	word uint64   // w4 after it; 0: it did not change
	day  uint32   // that the log gives it
	up   *upgrade // nil: it has no id
}

// otaSteps joins the OTA events of a chunk with their effects: both are in the order in which they were decided.
func (r *recount) otaSteps(l *lane) error {
	otas := l.effects.otas
	if len(otas) == 0 {
		return nil
	}
	for i := range l.rows {
		e := &l.rows[i]
		if e.typ() < typeOTA || e.isNamed() || e.isDenied() && (e.typ() != typeOTA || e.code != codeOTAQuota) {
			continue
		}
		step, n := matchOTA(e, otas)
		if n == 0 {
			if len(e.id) > 0 && e.typ() == typeOTA && !e.isDenied() {
				continue // Its id was known: it counted nothing (R17).
			}
			return r.differs("an %s of device %d has no word after it", typeNames[e.typ()], e.ordinal)
		}
		otas = otas[n:]
		if step.d = r.devices.find(e.ordinal); step.d == nil {
			return r.differs("an OTA names device %d, which nothing has bound", e.ordinal)
		}
		r.steps = append(r.steps, step)
	}
	if len(otas) > 0 {
		return r.differs("the OTA word of device %d changed without an event", otas[0].ordinal)
	}
	return nil
}

// matchOTA returns what the first effects say about an event, and how many they are; 0: they belong to a later one.
func matchOTA(e *row, otas []otaEffect) (s otaStep, n int) {
	s.row = e
	if n < len(otas) && otas[n].upgrade == nil && otas[n].ordinal == e.ordinal {
		s.word, s.day = otas[n].word, otas[n].day
		n++
	}
	if e.isDenied() || len(e.id) == 0 {
		return s, n
	}
	if n < len(otas) && otas[n].ordinal == e.ordinal && otas[n].upgrade != nil &&
		bytes.Equal(otas[n].upgrade.id, e.id) && otas[n].upgrade.voided == (e.typ() == typeVoid) {
		s.up = otas[n].upgrade
		return s, n + 1
	}
	return s, 0
}

// otaWords recounts the upgrades of a group (R15 to R17).
func (r *recount) otaWords(g *group) error {
	if len(g.chunks) > 1 { // What changes no word comes first.
		slices.SortStableFunc(r.steps, func(a, b otaStep) int {
			return cmp.Or(cmp.Compare(a.d.ordinal, b.d.ordinal), cmp.Compare(a.word, b.word))
		})
	}
	for i := range r.steps {
		if err := r.otaStep(&r.steps[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *recount) otaStep(s *otaStep) error {
	d := s.d
	p := r.cat.product(d.product)
	r.figures.Upgrades++
	local := p.dayAt(s.row.ms)
	if s.up != nil {
		if err := r.ledger.upgrade(r, p, d, s.up); err != nil {
			return err
		}
	}
	if s.word == 0 {
		return r.lateVoid(p, d, s, local)
	}
	cur := inMonth(d.words[2], monthOfDay(local))
	month := monthOf(s.word)
	if month < monthOf(cur) && d.knows(2) || month < monthOfDay(local) {
		return r.differs("%s, month %s: an OTA was counted in month %s", r.deviceName(d), monthName(monthOf(cur)),
			monthName(month))
	}
	day := max(local, firstDay(month))
	if s.day != day {
		return r.differs("%s: an OTA of day %s is said to be of day %s", r.deviceName(d), dayName(day), dayName(s.day))
	}
	if err := r.otaDay(p, d, day, s.word); err != nil {
		return err
	}
	t := p.touch(r).at(s.row.ms, day)
	r.wouldDeny(t, s.row, codeOTAQuota, 1)
	switch {
	case !d.knows(2) || !p.planKnown && s.row.typ() == typeOTA && !s.row.isDenied():
		r.vagueOTA(p, d, s, t)
	case s.row.typ() == typeVoid:
		return r.sameWord(d, s, r.voided(p, d, s, cur, t))
	case s.row.isDenied():
		if err := r.lacked(p, d, s, cur); err != nil {
			return err
		}
		want := cur + min(1, otaDeniedMax-otaDeniedOf(cur))
		t.deny(typeOTA, codeOTAQuota, want-cur)
		return r.sameWord(d, s, want)
	default:
		return r.taken(p, d, s, cur, t)
	}
	return nil
}

// taken recounts an upgrade that was accepted: the allowance first, the rest from packs (R16).
func (r *recount) taken(p *product, d *device, s *otaStep, cur uint64, t *totals) error {
	units := p.plan.otaUnits(s.row.size)
	allowance := uint64(0)
	if used := allowanceOf(cur); used < p.plan.otaPerMonth {
		allowance = min(p.plan.otaPerMonth-used, units)
	}
	packs := units - allowance
	if s.row.would != 0 {
		var err error
		if allowance, packs, err = r.overdrawn(p, d, s, cur, units); err != nil {
			return err
		}
	}
	if packs > otaPacksMax-packsOf(cur) {
		return r.differs("%s, month %s: an upgrade of %d units was accepted that has no room", r.deviceName(d),
			monthName(monthOf(cur)), units)
	}
	if up := s.up; up != nil && (uint64(up.allowance) != allowance || up.packUnits() != packs || up.size != s.row.size ||
		up.month != monthOf(cur)) {
		return r.differs("%s, upgrade %s: %d units of the allowance and %d of packs are kept under its id, recounted are "+
			"%d and %d", r.deviceName(d), up.id, up.allowance, up.packUnits(), allowance, packs)
	}
	t.fields[totalOTAAllowance] += allowance
	t.fields[totalOTAPacks] += packs
	r.draws(p).taken += packs
	return r.sameWord(d, s, cur+allowance<<otaAllowShift+packs<<otaPacksShift)
}

// overdrawn returns what an upgrade took that the quota would have denied: the log says what the packs had left, and
// all else is of the allowance, beyond the plan's.
func (r *recount) overdrawn(p *product, d *device, s *otaStep, cur, units uint64) (allowance, packs uint64, err error) {
	packs = packsOf(s.word) - packsOf(cur)
	allowance = units - packs
	if packsOf(s.word) < packsOf(cur) || packs > units ||
		allowance > otaObservedMax-min(otaObservedMax, allowanceOf(cur)) {
		return 0, 0, r.differs("%s, month %s: an upgrade of %d units was accepted that has no room", r.deviceName(d),
			monthName(monthOf(cur)), units)
	}
	beyond := allowanceOf(cur)+allowance > p.plan.otaPerMonth
	return allowance, packs, r.observed(p, d, s.row, codeOTAQuota, beyond)
}

// lacked checks what an upgrade is said to have needed and the packs to have had, if its quota denied it: that was not
// enough, or the word has no room.
func (r *recount) lacked(p *product, d *device, s *otaStep, cur uint64) error {
	if s.row.requested == 0 || !p.planKnown {
		return nil
	}
	units := p.plan.otaUnits(s.row.size)
	packs := units - min(units, p.plan.otaPerMonth-min(p.plan.otaPerMonth, allowanceOf(cur)))
	switch {
	case s.row.requested != units:
		return r.differs("%s, month %s: an upgrade of %d units is said to have needed %d", r.deviceName(d),
			monthName(monthOf(cur)), units, s.row.requested)
	case packs <= s.row.available && packs <= otaPacksMax-packsOf(cur):
		return r.differs("%s, month %s: an upgrade that needed %d units of packs was denied, and packs had %d left",
			r.deviceName(d), monthName(monthOf(cur)), packs, s.row.available)
	}
	return nil
}

// voided returns the word after a void, and counts what it gives back.
func (r *recount) voided(p *product, _ *device, s *otaStep, cur uint64, t *totals) uint64 {
	allowance, packs := uint64(s.up.allowance), s.up.packUnits()
	t.fields[totalVoidAllowance] += allowance
	t.fields[totalVoidPacks] += packs
	r.draws(p).given += packs
	return cur + 1<<otaVoidsShift - allowance<<otaAllowShift - packs<<otaPacksShift
}

// lateVoid counts the void of an upgrade whose month is over: it changes no word (R17).
func (r *recount) lateVoid(p *product, d *device, s *otaStep, local uint32) error {
	if s.row.typ() != typeVoid || s.up == nil {
		return r.differs("%s: an %s has no word after it", r.deviceName(d), typeNames[s.row.typ()])
	}
	day := max(local, firstDay(monthOf(d.words[2])))
	if d.knows(2) && monthOfDay(day) <= s.up.month {
		return r.differs("%s, upgrade %s: its void changed no word, although month %s runs", r.deviceName(d), s.up.id,
			monthName(s.up.month))
	}
	if s.up.voidDay != day && d.knows(2) {
		return r.differs("%s, upgrade %s: voided on day %s, it is said to be day %s", r.deviceName(d), s.up.id, dayName(day),
			dayName(s.up.voidDay))
	}
	r.voided(p, d, s, 0, p.touch(r).at(s.row.ms, s.up.voidDay))
	return r.ledger.lateVoid(r, p, d, s.up)
}

// vagueOTA takes a word as it is said: what was before it is not known.
func (r *recount) vagueOTA(p *product, d *device, s *otaStep, t *totals) {
	switch {
	case s.row.typ() == typeVoid:
		r.voided(p, d, s, 0, t)
	case s.row.isDenied():
		if otaDeniedOf(s.word) < otaDeniedMax {
			t.deny(typeOTA, codeOTAQuota, 1)
		}
	case s.up != nil:
		t.fields[totalOTAAllowance] += uint64(s.up.allowance)
		t.fields[totalOTAPacks] += s.up.packUnits()
		r.draws(p).taken += s.up.packUnits()
	case d.knows(2):
		cur := inMonth(d.words[2], monthOf(s.word))
		t.fields[totalOTAAllowance] += allowanceOf(s.word) - allowanceOf(cur)
		t.fields[totalOTAPacks] += packsOf(s.word) - packsOf(cur)
		r.draws(p).taken += packsOf(s.word) - packsOf(cur)
	default:
		p.gap, r.draws(p).gap = true, true
	}
	d.words[2] = s.word
	d.know(2)
}

func (r *recount) sameWord(d *device, s *otaStep, want uint64) error {
	d.words[2] = want
	if s.word == want {
		return nil
	}
	return r.differs("%s, month %s: after an %s of %d bytes the log says %s, recounted are %s", r.deviceName(d),
		monthName(monthOf(s.word)), typeNames[s.row.typ()], s.row.size, countsText(2, s.word), countsText(2, want))
}

// otaDay notes on which day a device's upgrades changed. What an older day ended with stands in the ledger.
func (r *recount) otaDay(p *product, d *device, day uint32, word uint64) error {
	if d.otaDay != 0 && (uint32(d.otaDay) != day || monthOf(d.words[2]) != monthOf(word)) && r.ledger.applies(r) {
		if _, err := r.ledger.otaDay(r, p, d); err != nil {
			return err
		}
	}
	d.otaDay = uint16(day)
	if r.ledger != nil {
		r.ledger.early.settleWord(d, word)
	}
	return nil
}
