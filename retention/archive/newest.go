package archive

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// newest gathers the newest rows of the product that is written. They are written once more behind all rows: a
// directory is ordered by device, and who asks what a product did last would have to read all of it.
type newest struct {
	best  best
	rows  uint64 // of the product
	block block
	raw   []byte
	joint []byte
}

func newNewest() newest {
	return newest{best: best{rowsMax: newestRowsMax, bytesMax: newestBytesMax}}
}

// of returns the product's newest rows in the order of blocks, none if the product has few. There are at most a part of
// all, so that they take next to nothing.
func (n *newest) of(least uint64) []bestRow {
	if n.rows < least {
		return nil
	}
	rows := n.best.sorted()
	rows = rows[:min(len(rows), int(n.rows/newestPart))]
	slices.SortFunc(rows, func(x, y bestRow) int {
		return cmp.Or(cmp.Compare(x.Device, y.Device), x.place.Place.Compare(y.place.Place))
	})
	return rows
}

// addNewest takes a row of the directory, in the order of devices.
func (w *writer) addNewest(r *Row) error {
	if err := w.newestBegin(r.Device.Product(), 1); err != nil {
		return err
	}
	w.newest.best.add(r, entryKey{}, 0, 0)
	return nil
}

// newestBegin notes that rows of a product come.
func (w *writer) newestBegin(product uint32, rows int) error {
	if w.newest.rows > 0 && w.newestOf != product {
		if err := w.flushNewest(); err != nil {
			return err
		}
	}
	w.newestOf = product
	w.newest.rows += uint64(rows)
	return nil
}

// addBareNewest takes the bare rows of a product that were just added to the block.
func (w *writer) addBareNewest(rows []memoryRow, baseMs int64) error {
	if err := w.newestBegin(rows[0].device.Product(), len(rows)); err != nil {
		return err
	}
	for i := range rows {
		ms := baseMs + rows[i].sinceMs()
		if w.newest.best.isFullOf(ms) {
			continue
		}
		bare := batch{rows: rows[i : i+1]}
		bare.row(&w.row, 0, baseMs)
		w.row.Order = w.block.orders[i]
		w.newest.best.add(&w.row, entryKey{}, 0, 0)
	}
	return nil
}

// flushNewest writes the newest rows of the product that has ended.
func (w *writer) flushNewest() error {
	n := &w.newest
	rows := n.of(uint64(w.s.o.newestFrom))
	for i := range rows {
		if !n.block.takes(rows[i].Device) {
			if err := w.putNewest(); err != nil {
				return err
			}
		}
		n.block.add(&rows[i].Row)
	}
	n.rows = 0
	n.best.reset()
	return w.putNewest()
}

func (w *writer) putNewest() error {
	n, b := &w.newest, &w.newest.block
	if b.rows == 0 {
		return nil
	}
	n.raw = b.finish(n.raw[:0])
	n.joint = binary.AppendUvarint(n.joint[:0], uint64(len(n.raw)))
	n.joint = append(append(n.joint, n.raw...), b.payloads...)
	w.value = w.s.codec.seal(w.value[:0], n.joint)
	key := entryKey{b.first.Device, b.first.Place()}.append(nil, spaceNewest)
	err := w.load.put(key, w.value, w.expires(b))
	b.reset()
	return err
}

// splitNewest cuts the raw form of newest rows into rows and payloads.
func splitNewest(raw []byte) (rows, payloads []byte, err error) {
	c := column{b: raw}
	rows = c.bytes(c.uvarint())
	if c.failed {
		return nil, nil, errors.New("newest rows end too early")
	}
	return rows, c.b, nil
}

// eachNewest calls fn for the newest rows of a product in a directory, in the order of devices, and returns the place
// of the oldest of them: every newer row of the product there is among them. has is false if the directory keeps
// none.
func (s *Store) eachNewest(d *directory, product uint32, fn func(*Row)) (oldest ProductPlace, has bool, err error) {
	blocks, err := s.newestBlocks(d, product)
	oldest = ProductPlace{Place{math.MaxInt64, math.MaxUint64}, math.MaxUint64}
	for i := range blocks {
		if err != nil {
			break
		}
		err = s.readNewest(&blocks[i], func(r *Row) {
			if p := r.ProductPlace(); p.Compare(oldest) < 0 {
				oldest = p
			}
			fn(r)
		})
		if err != nil {
			err = s.damaged(d, err)
		}
	}
	return oldest, len(blocks) > 0, err
}

// newestBlocks returns the blocks with the newest rows of a product in a directory.
func (s *Store) newestBlocks(d *directory, product uint32) (list []blockOf, err error) {
	for key := (entryKey{device: Known(product, 0)}); ; {
		some, err := s.entries(d.number, spaceNewest, key, readAheadBytes)
		if err != nil || len(some) == 0 {
			return list, err
		}
		for _, b := range some {
			if b.key.device.Product() != product {
				return list, nil
			}
			list = append(list, b)
			key = entryKey{b.key.device, b.key.place.next()}
		}
	}
}

func (s *Store) readNewest(x *blockOf, fn func(*Row)) error {
	raw, err := s.codec.unseal(nil, x.stored)
	if err != nil {
		return err
	}
	rows, payloads, err := splitNewest(raw)
	if err != nil {
		return err
	}
	var b blockReader
	if err := b.open(x.key, rows); err != nil {
		return err
	}
	for b.next() {
		if b.row.Payload, err = payloadOf(payloads, b.from, b.size); err != nil {
			return err
		}
		fn(&b.row)
	}
	return b.err
}

// payloadOf returns a payload within those of its block.
func payloadOf(payloads []byte, from, size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	if from+size > len(payloads) {
		return nil, errFewPayloads
	}
	return payloads[from : from+size : from+size], nil
}
