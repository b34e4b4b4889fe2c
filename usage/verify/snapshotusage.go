package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// monthTotals is what a product had used before its first event of a month.
type monthTotals struct {
	month  uint32
	before totals
}

// noteMonth keeps the totals before a bucket that is the product's first one of a month.
func (p *product) noteMonth(b bucket) {
	month := monthOfDay(b.day)
	if p.last == (bucket{}) && p.isNew || p.last != (bucket{}) && monthOfDay(p.last.day) < month {
		p.months = append(p.months, monthTotals{month, p.total.clone()})
	}
}

// beforeMonth returns what a product had used before a month by the recount; known is false if that lies before the
// log.
func (p *product) beforeMonth(month uint32) (t totals, known bool) {
	for i := range p.months {
		if p.months[i].month >= month {
			return p.months[i].before, i > 0 || p.isNew || p.months[i].month == month
		}
	}
	if p.last == (bucket{}) || !p.totalKnown {
		return t, p.isNew
	}
	return p.total, monthOfDay(p.last.day) < month
}

// before returns what a product had used before a day by the ledger: as the first day from it on began, on which it was
// used, or in all. known is false if the ledger does not reach back so far.
func (l *ledgerRows) before(p *product, day uint32) (t totals, known bool, err error) {
	prefix := append(key32('Y', p.id), dayOfZone)
	found := false
	err = l.rows.Scan(prefix, binary.BigEndian.AppendUint16(bytes.Clone(prefix), uint16(day)), false,
		func(_, value []byte) (bool, error) {
			found, known = true, len(value) > 0
			if !known {
				return false, nil
			}
			in := input{b: value}
			t.decode(&in)
			return false, in.done()
		})
	if err == nil && !found {
		var value []byte
		if value, known, err = l.rows.Get(key32('T', p.id)); err == nil && known && len(value) >= newestBytes {
			in := input{b: value[newestBytes:]}
			t.decode(&in)
			err = in.done()
		}
	}
	if err != nil {
		err = fmt.Errorf("the ledger's totals of product %s: %w", p.name, err)
	}
	return t, known, err
}

// snapshot compares what a snapshot says of each product with the recount up to its group, which was just reached.
func (r *recount) snapshot(s *sealed) error {
	if s.AsOf.UnixMilli() < r.lastMs {
		return s.differs("as_of is %s, and group %d, which is in it, was decided up to %s",
			s.AsOf.Format(time.RFC3339Nano), r.seq, time.UnixMilli(r.lastMs).UTC().Format(time.RFC3339Nano))
	}
	for _, name := range s.names() {
		p := r.cat.named(name)
		if p == nil && s.Account == nil && r.cat.others[name] {
			s.others++
			continue
		}
		if p == nil {
			return s.differs("it has product %s, which no change has made", name)
		}
		if account := r.cat.accounts[p.account]; s.Account != nil && (account == nil || account.name != *s.Account) {
			return s.differs("it is about account %s and has product %s, which is another's", *s.Account, name)
		}
		from, known := p.beforeMonth(s.month)
		if !known {
			var err error
			if from, known, err = r.ledger.before(p, firstDay(s.month)); err != nil {
				return err
			}
			if !known {
				s.unknown = append(s.unknown, name)
				continue
			}
		}
		to, known := p.beforeMonth(s.month + 1)
		if !known || !p.totalKnown {
			to = p.total
		}
		if err := s.compare(name, from, to, "recounted"); err != nil {
			return err
		}
	}
	return r.complete(s)
}

// complete demands that a snapshot has a line of every product.
func (r *recount) complete(s *sealed) error {
	for _, p := range r.cat.list() {
		account := r.cat.accounts[p.account]
		if s.Account != nil && (account == nil || account.name != *s.Account) {
			continue
		}
		if s.products[p.name] == nil {
			return s.differs("it has no line of product %s", p.name)
		}
	}
	return nil
}

// oldSnapshot compares a snapshot whose group the log has let go of with the ledger. Its months must have been over.
func (r *recount) oldSnapshot(s *sealed) error {
	for _, name := range s.names() {
		p := r.cat.named(name)
		if p == nil && s.Account == nil && r.cat.others[name] {
			s.others++
			continue
		}
		if p == nil {
			return s.differs("it has product %s, which no change has made", name)
		}
		from, known, err := r.ledger.before(p, firstDay(s.month))
		if err != nil {
			return err
		}
		to, alsoKnown, err := r.ledger.before(p, firstDay(s.month+1))
		if err != nil {
			return err
		}
		if !known || !alsoKnown {
			s.unknown = append(s.unknown, name)
			continue
		}
		if err := s.compare(name, from, to, "by the ledger"); err != nil {
			return err
		}
	}
	return nil
}

func (s *sealed) compare(name string, from, to totals, by string) error {
	used := to.clone()
	if !used.subtract(&from) {
		return s.differs("product %s: its totals fell within %s", name, s.Period)
	}
	counted := usageOf(&used)
	if column, a, b, differs := s.products[name].line.differsFrom(&counted); differs {
		return s.differs("product %s, %s: %s is %d, %s are %d", name, s.Period, column, a, by, b)
	}
	return nil
}

func (c *catalogue) named(name string) *product {
	for _, p := range c.products {
		if p != nil && p.name == name {
			return p
		}
	}
	return nil
}
