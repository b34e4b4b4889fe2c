package verify

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Levels of the ledger's blocks of device-days.
const (
	levelOpen   = 0
	levelMerged = 1
)

// deviceDay is what one device counted on one day.
type deviceDay struct {
	ordinal          uint64
	up, down, denied uint64
}

// join takes a w2 (0) or w3 (1) of the day.
func (d *deviceDay) join(i int, word uint64) {
	if i == 0 {
		d.up, d.down = upOf(word), downOf(word)
	} else {
		d.denied = countsOf(word)
	}
}

// dayDecoder reads blocks of device-days.
type dayDecoder struct {
	dec    *zstd.Decoder
	column []uint64
}

func newDayDecoder() (*dayDecoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(planeBytesMax))
	if err != nil {
		return nil, fmt.Errorf("open decompressor: %w", err)
	}
	return &dayDecoder{dec: dec}, nil
}

// decode reads a block; first is the ordinal in its key.
func (x *dayDecoder) decode(first uint64, block []byte) ([]deviceDay, error) {
	in := input{b: block}
	if in.u8() != 1 {
		return nil, errors.New("a block of device-days has not version 1")
	}
	n := in.upTo(dayBlockRows)
	last := first + in.upTo(ordinalMax)
	if in.err != nil || n == 0 {
		return nil, errors.New("a block of device-days is damaged")
	}
	rows := make([]deviceDay, n)
	rows[0].ordinal = first
	x.readColumn(&in, int(n-1))
	for i, step := range x.column {
		rows[i+1].ordinal = rows[i].ordinal + step
		if step == 0 || step > ordinalMax {
			in.fail(errors.New("its ordinals do not rise"))
			break
		}
	}
	for f := range 3 {
		x.readColumn(&in, int(n))
		for i, v := range x.column {
			*[...]*uint64{&rows[i].up, &rows[i].down, &rows[i].denied}[f] = v
		}
	}
	if err := in.done(); err != nil {
		return nil, fmt.Errorf("a block of device-days: %w", err)
	}
	if rows[n-1].ordinal != last {
		return nil, errors.New("a block of device-days ends with another device than it says")
	}
	return rows, nil
}

// readColumn reads n numbers, a plane for each of their bytes, the lowest first.
func (x *dayDecoder) readColumn(in *input, n int) {
	x.column = append(x.column[:0], make([]uint64, n)...)
	width := in.u8()
	if width > 8 {
		in.fail(errors.New("the width of a column"))
	}
	for p := 0; p < int(width) && in.err == nil; p++ {
		var plane []byte
		switch form := in.u8(); form {
		case 0:
			plane = in.take(uint64(n))
		case 1:
			plane = bytes.Repeat([]byte{in.u8()}, n)
		case 2:
			var err error
			if plane, err = x.dec.DecodeAll(in.text(), nil); err != nil || len(plane) != n {
				in.fail(errors.New("a plane cannot be inflated"))
			}
		default:
			in.fail(errors.New("the form of a plane"))
		}
		if in.err != nil {
			return
		}
		for i, b := range plane {
			x.column[i] |= uint64(b) << (8 * p)
		}
	}
}

// dayKey is what the keys of blocks of a product's day begin with.
func dayKey(level byte, product, day uint32) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32([]byte{'D', level}, product), uint16(day))
}

const (
	dayKeyFirst = 1 + 1 + 4 + 2   // place of the first ordinal
	dayKeyGroup = dayKeyFirst + 5 // place of the group
	dayKeyBytes = dayKeyGroup + 8
)

func decodeDayKey(key []byte) (product, day uint32, first uint64, err error) {
	if len(key) != dayKeyBytes {
		return 0, 0, 0, errors.New("a block of device-days has a damaged key")
	}
	o := key[dayKeyFirst:]
	first = uint64(o[0])<<32 | uint64(binary.BigEndian.Uint32(o[1:]))
	return binary.BigEndian.Uint32(key[2:]), uint32(binary.BigEndian.Uint16(key[6:])), first, nil
}

// dayCursor goes through the merged device-days of one product and day.
type dayCursor struct {
	l            *ledgerRows
	product, day uint32
	rows         []deviceDay
	start        []byte // where the next block is looked for
	done         bool
}

// next returns the device-day in hand, nil behind the last.
func (c *dayCursor) next() (*deviceDay, error) {
	for len(c.rows) == 0 && !c.done {
		c.done = true
		prefix := dayKey(levelMerged, c.product, c.day)
		err := c.l.rows.Scan(prefix, c.start, false, func(key, value []byte) (bool, error) {
			_, _, first, err := decodeDayKey(key)
			if err == nil {
				c.rows, err = c.l.days.decode(first, value)
			}
			c.done, c.start = false, append(bytes.Clone(key), 0)
			return false, err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(c.rows) == 0 {
		return nil, nil
	}
	return &c.rows[0], nil
}

// dayRows compares the days of a product that have ended, device by device.
type dayRows struct {
	cursors map[uint32]*dayCursor // by day
	words   []dayWord             // of the device in hand
}

type dayWord struct {
	day   uint32
	index int
	word  uint64
}

// device compares the days of one device with the ledger's rows; devices come in the order of ordinals.
func (e *endedDay) device(r *recount, d *device) error {
	w := e.rows.words
	slices.SortFunc(w, func(a, b dayWord) int { return cmp.Compare(a.day, b.day) })
	for len(w) > 0 {
		want := deviceDay{ordinal: d.ordinal}
		day := w[0].day
		for ; len(w) > 0 && w[0].day == day; w = w[1:] {
			want.join(w[0].index, w[0].word)
		}
		r.figures.DeviceDays++
		if err := e.compare(r, d, day, &want); err != nil {
			return err
		}
	}
	e.rows.words = e.rows.words[:0]
	return nil
}

func (e *endedDay) compare(r *recount, d *device, day uint32, want *deviceDay) error {
	if !r.ledger.applies(r) || !r.isWhole(e.product, day) {
		return nil
	}
	c := e.rows.cursors[day]
	if c == nil {
		c = &dayCursor{l: r.ledger, product: e.product.id, day: day}
		if e.rows.cursors == nil {
			e.rows.cursors = map[uint32]*dayCursor{}
		}
		e.rows.cursors[day] = c
	}
	have, err := c.next()
	switch {
	case err != nil:
		return err
	case have == nil || have.ordinal > d.ordinal:
		return r.differs("%s, day %s: the ledger has no row, recounted are %s", r.deviceName(d), dayName(day), want)
	case have.ordinal < d.ordinal:
		return r.extraDay(e.product, day, have)
	case *have != *want:
		return r.differs("%s, day %s: the ledger says %s, recounted are %s", r.deviceName(d), dayName(day), have, want)
	}
	c.rows = c.rows[1:]
	r.figures.LedgerRows++
	return nil
}

func (r *recount) extraDay(p *product, day uint32, have *deviceDay) error {
	name := fmt.Sprintf("device %d of product %s", have.ordinal, p.name)
	if d := r.devices.find(have.ordinal); d != nil {
		name = r.deviceName(d)
	}
	return r.differs("%s, day %s: the ledger says %s, and the log says nothing", name, dayName(day), have)
}

// isWhole reports whether the log has everything of a day.
func (r *recount) isWhole(p *product, day uint32) bool {
	if r.fromStart || p.isNew {
		return true
	}
	k := [2]uint32{p.id, day}
	whole, known := r.whole[k]
	if !known {
		whole = p.dayBegan(day) > r.firstMs
		r.whole[k] = whole
	}
	return whole
}

// finish demands that the ledger has no more device-days of the days that have ended.
func (e *endedDay) finish(r *recount) error {
	if !r.ledger.applies(r) {
		return nil
	}
	for _, c := range e.rows.cursors {
		have, err := c.next()
		if err != nil {
			return err
		}
		if have != nil {
			return r.extraDay(e.product, c.day, have)
		}
	}
	start := dayKey(levelMerged, e.product.id, e.after+1)
	prefix := start[:dayKeyFirst-2]
	for {
		var day uint32
		var extra *deviceDay
		err := r.ledger.rows.Scan(prefix, start, false, func(key, value []byte) (bool, error) {
			_, at, first, err := decodeDayKey(key)
			if err != nil || at > e.day {
				return false, err
			}
			day = at
			if e.rows.cursors[day] == nil && r.isWhole(e.product, day) {
				rows, err := r.ledger.days.decode(first, value)
				if err != nil {
					return false, err
				}
				extra = &rows[0]
			}
			return false, nil
		})
		if err != nil || day == 0 {
			return err
		}
		if extra != nil {
			return r.extraDay(e.product, day, extra)
		}
		start = dayKey(levelMerged, e.product.id, day+1)
	}
}

// openDays compares the device-days of days that have not ended with the closed words of the groups up to the ledger's
// position, which was just reached.
func (l *ledgerRows) openDays(r *recount) error {
	type place struct {
		ordinal uint64
		index   int
		day     uint32
	}
	seen := map[place]bool{}
	err := l.rows.Scan([]byte{'D', levelOpen}, nil, false, func(key, value []byte) (bool, error) {
		product, day, first, err := decodeDayKey(key)
		if err != nil {
			return false, err
		}
		p := r.cat.product(product)
		if p == nil || day <= p.closedThrough || !r.isWhole(p, day) {
			return true, nil
		}
		if binary.BigEndian.Uint64(key[dayKeyGroup:]) > l.last {
			return true, nil // The transaction that completes that group had not come when the ledger was copied.
		}
		rows, err := l.days.decode(first, value)
		if err != nil {
			return false, err
		}
		for i := range rows {
			have := &rows[i]
			d := r.devices.find(have.ordinal)
			if d == nil {
				return false, r.extraDay(p, day, have)
			}
			want := r.closedOn(d, day)
			if have.up+have.down > 0 {
				seen[place{d.ordinal, 0, day}] = true
				if have.up != want.up || have.down != want.down {
					return false, r.differs("%s, day %s: the ledger says %s, recounted are %s", r.deviceName(d), dayName(day), have,
						want)
				}
			}
			if have.denied > 0 {
				seen[place{d.ordinal, 1, day}] = true
				if have.denied != want.denied {
					return false, r.differs("%s, day %s: the ledger says %s, recounted are %s", r.deviceName(d), dayName(day), have,
						want)
				}
			}
			r.figures.LedgerRows++
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for d := range r.devices.all() {
		p := r.cat.product(d.product)
		for _, w := range r.saidWords(d) {
			if w.day > p.closedThrough && r.isWhole(p, w.day) && !seen[place{d.ordinal, w.index, w.day}] {
				return r.differs("%s, day %s: the ledger has no row of its %s, recounted are %s", r.deviceName(d), dayName(w.day),
					wordNames[w.index], countsText(w.index, w.word))
			}
		}
	}
	return nil
}

// saidWords returns the words of a device that the log has as closed, of days that have not ended.
func (r *recount) saidWords(d *device) (list []dayWord) {
	add := func(i int, w uint64) {
		if countsOf(w) > 0 {
			list = append(list, dayWord{dayOf(w), i, w})
		}
	}
	for i := range d.closed {
		if d.said&(saidClosed<<i) != 0 {
			add(i, d.closed[i])
		}
		if d.said&(saidWord<<i) != 0 {
			add(i, d.words[i])
		}
		for _, w := range r.overflow[overflowKey{d.ordinal, i}] {
			add(i, w)
		}
	}
	return list
}

// closedOn returns what the closed words of a device say of a day.
func (r *recount) closedOn(d *device, day uint32) *deviceDay {
	at := &deviceDay{ordinal: d.ordinal}
	for _, w := range r.saidWords(d) {
		if w.day == day {
			at.join(w.index, w.word)
		}
	}
	return at
}

func (d *deviceDay) String() string {
	return fmt.Sprintf("%d up, %d down and %d denied", d.up, d.down, d.denied)
}
