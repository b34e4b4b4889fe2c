package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// What a group says that ends days takes the ledger several transactions, and the position moves with the last of them.
// A kill between them, or a copy of a running daemon's ledger, leaves rows that say what a group behind the position
// says. So a row that differs at the position is no difference yet: it must be what one of the groups behind it says.

// early are the rows that said something else at the ledger's position than the recount.
type early struct {
	products map[*product][]earlyRow
	words    map[*device]earlyWord // of upgrades
}

// earlyRow is a row of a product: what it differs by, and a check that finds no difference once the recount is where
// the row is of.
type earlyRow struct {
	err   error
	check func() error
}

// earlyWord is what a row of a day's upgrades says.
type earlyWord struct {
	err  error
	word uint64
	day  uint16
}

func isDifference(err error) bool {
	d := (*Difference)(nil)
	return errors.As(err, &d)
}

// demand checks a row of a product at the ledger's position.
func (e *early) demand(p *product, check func() error) error {
	err := check()
	if !isDifference(err) {
		return err
	}
	if e.products == nil {
		e.products = map[*product][]earlyRow{}
	}
	e.products[p] = append(e.products[p], earlyRow{err, check})
	return nil
}

// demandWord is demand for the row of a device's upgrades.
func (e *early) demandWord(d *device, word uint64, err error) error {
	if !isDifference(err) {
		return err
	}
	if e.words == nil {
		e.words = map[*device]earlyWord{}
	}
	e.words[d] = earlyWord{err, word, d.otaDay}
	return nil
}

// settle checks the rows of a product again, of which a group behind the position says something.
func (e *early) settle(p *product) error {
	rows := e.products[p]
	if len(rows) == 0 {
		return nil
	}
	var failed error
	rows = slices.DeleteFunc(rows, func(row earlyRow) bool {
		err := row.check()
		if err != nil && !isDifference(err) {
			failed = err
		}
		return err == nil
	})
	if e.products[p] = rows; len(rows) == 0 {
		delete(e.products, p)
	}
	return failed
}

// settle compares the rows of a product again that differed at the ledger's position.
func (r *recount) settle(p *product) error {
	if r.ledger == nil {
		return nil
	}
	return r.ledger.early.settle(p)
}

// settleWord compares what a device's upgrades are now with what the row of their day said.
func (e *early) settleWord(d *device, word uint64) {
	if row, ok := e.words[d]; ok && row.word == word && row.day == d.otaDay {
		delete(e.words, d)
	}
}

// unsettled returns a difference at the position that no group behind it has explained.
func (e *early) unsettled() error {
	var first *product
	for p := range e.products {
		if first == nil || p.id < first.id {
			first = p
		}
	}
	if first != nil {
		return e.products[first][0].err
	}
	var of *device
	for d := range e.words {
		if of == nil || d.ordinal < of.ordinal {
			of = d
		}
	}
	if of != nil {
		return e.words[of].err
	}
	return nil
}

// reached compares what the ledger has of the group that its position names, which was just recounted.
func (l *ledgerRows) reached(r *recount) error {
	r.cat.notes.inLedger = r.cat.notes.last
	for _, p := range r.cat.list() {
		if err := l.productReached(r, p); err != nil {
			return err
		}
	}
	for d := range r.devices.all() {
		if d.otaDay == 0 {
			continue
		}
		have, err := l.otaDay(r, r.cat.product(d.product), d)
		if err = l.early.demandWord(d, have, err); err != nil {
			return err
		}
	}
	return l.openDays(r)
}

// productReached compares the rows of one product that every group writes anew.
func (l *ledgerRows) productReached(r *recount, p *product) error {
	if err := l.licensesReached(r, p); err != nil {
		return err
	}
	if at := p.last; at != (bucket{}) && p.totalKnown {
		ofBucket := func() error {
			if p.last != at {
				return r.differs("product %s: its totals of %s are over", p.name, quarterName(at.quarter))
			}
			return l.bucket(r, p)
		}
		err := errors.Join(
			l.early.demand(p, ofBucket),
			l.early.demand(p, func() error { return l.newest(r, p) }),
			l.bucketsReached(r, p))
		if err != nil {
			return err
		}
	}
	if p.closedThrough == 0 {
		return nil
	}
	return l.early.demand(p, func() error { return l.daysReached(r, p) })
}

// daysReached compares the row of the last day of a product that has ended.
func (l *ledgerRows) daysReached(r *recount, p *product) error {
	value, err := l.get(r, key32('G', p.id), "the last day of product %s that has ended", p.name)
	if err != nil {
		return err
	}
	if want := binary.BigEndian.AppendUint16(nil, uint16(p.closedThrough)); !bytes.Equal(value, want) {
		return r.differs("product %s: the ledger's last day that has ended is %x, recounted is %x (%s)", p.name, value, want,
			dayName(p.closedThrough))
	}
	return nil
}

// bucketsReached demands that the ledger has no more buckets of a product than the recounted groups.
func (l *ledgerRows) bucketsReached(r *recount, p *product) error {
	if p.first == (bucket{}) {
		return nil
	}
	have := uint64(0)
	start := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(key32('Q', p.id), p.first.quarter),
		uint16(p.first.day))
	err := l.rows.Scan(key32('Q', p.id), start, false, func(_, _ []byte) (bool, error) {
		have++
		return true, nil
	})
	if err != nil {
		return err
	}
	return l.early.demand(p, func() error {
		if have > p.buckets {
			return r.differs("product %s: the ledger has %d quarters of an hour from %s on, recounted are %d", p.name, have,
				quarterName(p.first.quarter), p.buckets)
		}
		return nil
	})
}

// licensesReached demands that the ledger has no more licences of a product than the recounted groups.
func (l *ledgerRows) licensesReached(r *recount, p *product) error {
	licenses, after := uint64(0), r.serialFirst-1
	err := l.rows.Scan(key32('L', p.id), key64('L', p.id, r.serialFirst), false, func(_, value []byte) (bool, error) {
		b, err := decodeLicenses(value)
		for i := range b.rows {
			if s := b.rows[i].serial; s > after && s <= r.serialLast {
				licenses, after = licenses+1, s
			}
		}
		return true, err
	})
	if err == nil && licenses != p.licenses {
		err = r.differs("product %s: the ledger has %d licences from %d to %d, recounted are %d", p.name, licenses,
			r.serialFirst, r.serialLast, p.licenses)
	}
	return err
}
