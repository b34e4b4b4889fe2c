package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meterd/meterd/retention/ledger"
)

// Rows is the ledger, which nobody writes meanwhile: ledger.Store.
type Rows interface {
	Position() ledger.Position
	Get(key []byte) (value []byte, found bool, err error)
	Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
}

// ledgerRows compares the ledger's rows (usage/FORMAT.md) with what the groups up to its position say. A row of a later
// group may be there or not (reached.go).
type ledgerRows struct {
	rows     Rows
	last     uint64 // its position
	days     *dayDecoder
	licenses map[uint32]*licenseBlock // the last block that was read, by product
	early    early
}

// applies reports whether the ledger must have what the group in hand says.
func (l *ledgerRows) applies(r *recount) bool { return l != nil && r.seq <= l.last }

func key32(space byte, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{space}, n) }

func key64(space byte, n uint32, m uint64) []byte {
	return binary.BigEndian.AppendUint64(key32(space, n), m)
}

func appendOrdinal(key []byte, ordinal uint64) []byte {
	return append(key, byte(ordinal>>32), byte(ordinal>>24), byte(ordinal>>16), byte(ordinal>>8), byte(ordinal))
}

// licenseBlock is a row L: licences of one product.
type licenseBlock struct{ rows []licenseRow }

type licenseRow struct {
	serial     uint64
	activatedS int64
	pool       uint32
	generation uint64
	name       []byte
}

// decodeLicenses reads a block of licences, whose serials rise. Names alias it.
func decodeLicenses(value []byte) (b licenseBlock, err error) {
	in := input{b: value}
	if in.u8() != 1 {
		return b, errors.New("a block of licences has not version 1")
	}
	var row licenseRow
	for len(in.b) > 0 {
		step := in.uvarint()
		row.serial += step
		row.activatedS += in.varint()
		row.pool, row.generation = in.u32(), in.uvarint()
		row.name = in.take(uint64(in.u8()))
		if step == 0 {
			in.fail(errors.New("its serials do not rise"))
		}
		b.rows = append(b.rows, row)
	}
	if in.err != nil {
		return b, fmt.Errorf("a block of licences: %w", in.err)
	}
	return b, nil
}

func (b *licenseBlock) find(serial uint64) *licenseRow {
	i, found := slices.BinarySearchFunc(b.rows, serial, func(r licenseRow, s uint64) int {
		switch {
		case r.serial < s:
			return -1
		case r.serial > s:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &b.rows[i]
}

// license compares the row of a licence that was consumed.
func (l *ledgerRows) license(r *recount, p *product, d *device, g *grant) error {
	if !l.applies(r) {
		return nil
	}
	b := l.licenses[p.id]
	if b == nil || b.find(g.serial) == nil {
		b = nil
		err := l.rows.Scan(key32('L', p.id), key64('L', p.id, g.serial), false, func(_, value []byte) (bool, error) {
			decoded, err := decodeLicenses(bytes.Clone(value))
			b = &decoded
			return false, err
		})
		if err != nil {
			return err
		}
	}
	var row *licenseRow
	if b != nil {
		row = b.find(g.serial)
	}
	if row == nil {
		return r.differs("%s: the ledger has no row of its licence %d", r.deviceName(d), g.serial)
	}
	l.licenses[p.id] = b
	if string(row.name) != string(r.devices.nameOf(d)) || row.activatedS != g.activatedS || row.pool != g.pool ||
		row.generation != generationOf(g.word) {
		return r.differs(
			"%s: the ledger's row of licence %d says device %s, second %d, pool %d, generation %d; the log says "+
				"second %d, pool %d, generation %d",
			r.deviceName(d),
			g.serial,
			row.name,
			row.activatedS,
			row.pool,
			row.generation,
			g.activatedS,
			g.pool,
			generationOf(g.word),
		)
	}
	r.figures.LedgerRows++
	return nil
}

// get returns the value of a row that must be there.
func (l *ledgerRows) get(r *recount, key []byte, what string, a ...any) ([]byte, error) {
	value, found, err := l.rows.Get(key)
	if err == nil && !found {
		err = r.differs("the ledger has no row of "+what, a...)
	}
	r.figures.LedgerRows++
	return value, err
}

// end compares the row of a licence that ended.
func (l *ledgerRows) end(r *recount, p *product, d *device, e ended) error {
	if !l.applies(r) {
		return nil
	}
	value, err := l.get(r, key64('E', p.id, e.serial), "the end of licence %d of %s", e.serial, r.deviceName(d))
	if err != nil {
		return err
	}
	if want := binary.AppendVarint([]byte{e.how}, e.endedS); !bytes.Equal(value, want) {
		return r.differs("%s: the end of licence %d is %x in the ledger and %x in the log", r.deviceName(d), e.serial, value,
			want)
	}
	return nil
}

// upgrade compares the row of an upgrade with an id. The one of its void may have come later.
func (l *ledgerRows) upgrade(r *recount, p *product, d *device, up *upgrade) error {
	if !l.applies(r) {
		return nil
	}
	name := r.devices.nameOf(d)
	key := append(append(append(key32('I', p.id), byte(len(name))), name...), up.id...)
	value, err := l.get(r, key, "upgrade %s of %s", up.id, r.deviceName(d))
	if err != nil || bytes.Equal(value, up.encoded) {
		return err
	}
	var have upgrade
	in := input{b: value}
	have.decode(&in)
	if err := in.done(); err != nil {
		return fmt.Errorf("the ledger's row of upgrade %s: %w", up.id, err)
	}
	if have.voided && !up.voided && have.size == up.size && have.month == up.month && have.allowance == up.allowance &&
		slices.Equal(have.packs, up.packs) {
		return nil
	}
	return r.differs(
		"%s, upgrade %s: the ledger says %d units of the allowance, %d of packs, voided %v; the log says %d, "+
			"%d, %v",
		r.deviceName(d),
		up.id,
		have.allowance,
		have.packUnits(),
		have.voided,
		up.allowance,
		up.packUnits(),
		up.voided,
	)
}

// lateVoid compares the row of a void of an upgrade whose month was over.
func (l *ledgerRows) lateVoid(r *recount, p *product, d *device, up *upgrade) error {
	if !l.applies(r) {
		return nil
	}
	month := monthOfDay(up.voidDay)
	key := appendOrdinal(binary.BigEndian.AppendUint16(key32('V', p.id), uint16(month)), d.ordinal)
	key = append(binary.BigEndian.AppendUint16(key, uint16(up.voidDay)), up.id...)
	value, err := l.get(r, key, "the void of upgrade %s of %s", up.id, r.deviceName(d))
	if err != nil {
		return err
	}
	in := input{b: value}
	allowance, packs := in.uvarint(), in.uvarint()
	if err := in.done(); err != nil {
		return fmt.Errorf("the ledger's row of a void: %w", err)
	}
	if allowance != uint64(up.allowance) || packs != up.packUnits() {
		return r.differs("%s, day %s: the void of upgrade %s gave back %d and %d units by the ledger, %d and %d by the log",
			r.deviceName(d), dayName(up.voidDay), up.id, allowance, packs, up.allowance, up.packUnits())
	}
	return nil
}

// otaDay compares the row of a device's upgrades on the day of its last one, and returns what the row says.
func (l *ledgerRows) otaDay(r *recount, p *product, d *device) (have uint64, err error) {
	w4, day := d.words[2], uint32(d.otaDay)
	key := appendOrdinal(binary.BigEndian.AppendUint16(key32('O', p.id), uint16(monthOf(w4))), d.ordinal)
	value, err := l.get(r, binary.BigEndian.AppendUint16(key, uint16(day)), "the upgrades of %s on day %s",
		r.deviceName(d), dayName(day))
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, errors.New("the ledger's row of a day's upgrades is damaged")
	}
	if have = binary.BigEndian.Uint64(value); have != w4 {
		err = r.differs("%s, day %s: the ledger says %s, recounted are %s", r.deviceName(d), dayName(day),
			countsText(2, have), countsText(2, w4))
	}
	return have, err
}

// bucket compares the row of a product's last bucket, which no later group adds to up to the ledger's position.
func (l *ledgerRows) bucket(r *recount, p *product) error {
	key := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(key32('Q', p.id), p.last.quarter),
		uint16(p.last.day))
	value, err := l.get(r, key, "product %s in the quarter of an hour %s of day %s", p.name, quarterName(p.last.quarter),
		dayName(p.last.day))
	if err != nil {
		return err
	}
	return l.compareTotals(r, p, value, "the quarter of an hour")
}

func (l *ledgerRows) compareTotals(r *recount, p *product, value []byte, what string) error {
	in := input{b: value}
	var have totals
	have.decode(&in)
	if err := in.done(); err != nil {
		return fmt.Errorf("the ledger's totals of product %s: %w", p.name, err)
	}
	var err error
	have.compare(&p.total, equal, func(name string, a, b uint64) {
		err = r.differs("product %s, day %s, %s %s: the ledger says %s %d, recounted are %d", p.name, dayName(p.last.day),
			what, quarterName(p.last.quarter), name, a, b)
	})
	return err
}

// Kinds of days of rows Y, and the size of a row T before its totals.
const (
	dayOfUTC    = 0 // since 1970-01-01
	dayOfZone   = 1
	newestBytes = 4 + 2
)

// dayBegins compares the rows of the days that a product's bucket begins with what it had used before.
func (l *ledgerRows) dayBegins(r *recount, p *product, b bucket) error {
	for kind, day := range [...]uint32{dayOfUTC: b.quarter / quartersADay, dayOfZone: b.day} {
		if p.last != (bucket{}) && day == [...]uint32{p.last.quarter / quartersADay, p.last.day}[kind] {
			continue
		}
		key := binary.BigEndian.AppendUint16(append(key32('Y', p.id), byte(kind)), uint16(day))
		value, err := l.get(r, key, "product %s as day %s began", p.name, dayName(b.day))
		if err != nil {
			return err
		}
		if len(value) == 0 {
			continue // It was created before the ledger's beginning.
		}
		if err := l.compareTotals(r, p, value, "before the quarter of an hour after"); err != nil {
			return err
		}
	}
	return nil
}

// newest compares the row of all that a product has used.
func (l *ledgerRows) newest(r *recount, p *product) error {
	value, err := l.get(r, key32('T', p.id), "all that product %s has used", p.name)
	if err != nil {
		return err
	}
	if len(value) < newestBytes {
		return fmt.Errorf("the ledger's newest totals of product %s are damaged", p.name)
	}
	quarter, day := binary.BigEndian.Uint32(value), uint32(binary.BigEndian.Uint16(value[4:]))
	if quarter != p.last.quarter || day != p.last.day {
		return r.differs("product %s: the ledger's newest totals are of %s, day %s; the log's of %s, day %s", p.name,
			quarterName(quarter), dayName(day), quarterName(p.last.quarter), dayName(p.last.day))
	}
	return l.compareTotals(r, p, value[newestBytes:], "newest totals at")
}
