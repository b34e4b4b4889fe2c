package archive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// sorter sorts the rows of a directory in the order of their product. What does not fit in memory is written to a file
// in sorted pieces, which are read side by side in the end.
type sorter struct {
	s      *Store
	oldest direction
	baseMs int64

	// Rows in memory, as a batch has them, and the Order of each; index is their order.
	rows   batch
	orders []uint32
	index  []uint32
	at     int

	file  *sortFile // nil while all fits in memory
	heads []*pieceReader
	row   Row
	taken bool // row is of heads[0], which moves on before the next one
}

// newSorter sorts rows that are decided at or after baseMs.
func (s *Store) newSorter(oldest direction, baseMs int64) *sorter {
	return &sorter{s: s, oldest: oldest, baseMs: baseMs}
}

// keep takes a copy of r into memory.
func (x *sorter) keep(r *Row) {
	x.rows.add(r, x.baseMs)
	x.rows.rows[len(x.rows.rows)-1].logDays = uint16(min(r.LogDays, 1<<16-1))
	x.orders = append(x.orders, r.Order)
}

// add takes a copy of r, and writes to the disk what is too much.
func (x *sorter) add(r *Row) error {
	x.keep(r)
	if len(x.rows.rows)*sortRowBytes+len(x.rows.texts) < x.s.o.sortBytes {
		return nil
	}
	return x.spill()
}

// order orders what is in memory.
func (x *sorter) order() {
	rows := x.rows.rows
	x.index = slices.Grow(x.index[:0], len(rows))[:len(rows)]
	for i := range x.index {
		x.index[i] = uint32(i)
	}
	slices.SortFunc(x.index, func(i, j uint32) int { // As ProductPlace.Compare.
		p, q := &rows[i], &rows[j]
		if !x.oldest {
			i, j, p, q = j, i, q, p
		}
		switch {
		case p.ms != q.ms:
			return cmp.Compare(p.ms, q.ms)
		case p.tie != q.tie:
			return cmp.Compare(p.tie, q.tie)
		case p.device != q.device:
			return p.device.compare(q.device)
		}
		return cmp.Compare(x.orders[i], x.orders[j])
	})
}

// inMemory sets row to the next row in memory.
func (x *sorter) inMemory() bool {
	if x.at == len(x.index) {
		return false
	}
	i := x.index[x.at]
	x.rows.row(&x.row, int(i), x.baseMs)
	x.row.Order = x.orders[i]
	x.at++
	return true
}

// spill writes what is in memory as a sorted piece.
func (x *sorter) spill() (err error) {
	if x.file == nil {
		if x.file, err = x.s.newSortFile(); err != nil {
			return err
		}
	}
	x.order()
	x.at = 0
	err = x.file.write(func() (*Row, error) {
		if !x.inMemory() {
			return nil, nil
		}
		return &x.row, nil
	})
	x.rows.rows, x.rows.texts, x.orders, x.index, x.at = x.rows.rows[:0], x.rows.texts[:0], x.orders[:0], x.index[:0], 0
	return err
}

// finish ends adding: next gives the rows from now on.
func (x *sorter) finish() error {
	if x.file == nil {
		x.order()
		return nil
	}
	if err := x.spill(); err != nil {
		return err
	}
	x.rows, x.orders, x.index = batch{}, nil, nil
	for len(x.file.pieces) > piecesMax {
		if err := x.merge(piecesMax); err != nil {
			return err
		}
	}
	return x.openPieces(len(x.file.pieces))
}

// merge makes one piece of the first n.
func (x *sorter) merge(n int) error {
	if err := x.openPieces(n); err != nil {
		return err
	}
	if err := x.file.write(x.next); err != nil {
		return err
	}
	x.file.forget(n)
	x.heads, x.taken = nil, false
	return nil
}

// openPieces begins to read the first n pieces.
func (x *sorter) openPieces(n int) error {
	for _, p := range x.file.pieces[:n] {
		r := &pieceReader{f: x.file, piece: p}
		has, err := r.next()
		if err != nil {
			return err
		}
		if has {
			x.heads = append(x.heads, r)
		}
	}
	slices.SortFunc(x.heads, func(a, b *pieceReader) int { return x.oldest.compare(a.place, b.place) })
	return nil
}

// next returns the next row, nil at the end. It is valid until next is called again.
func (x *sorter) next() (*Row, error) {
	if x.file == nil {
		if !x.inMemory() {
			return nil, nil
		}
		return &x.row, nil
	}
	if x.taken {
		has, err := x.heads[0].next()
		if err != nil {
			return nil, err
		}
		if !has {
			last := len(x.heads) - 1
			x.heads[0] = x.heads[last]
			x.heads = x.heads[:last]
		}
		x.sink()
	}
	if x.taken = len(x.heads) > 0; !x.taken {
		return nil, nil
	}
	return &x.heads[0].block.row, nil
}

// sink restores the heap of heads, whose first one has moved on.
func (x *sorter) sink() {
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(x.heads); child++ {
			if x.oldest.compare(x.heads[child].place, x.heads[least].place) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		x.heads[i], x.heads[least] = x.heads[least], x.heads[i]
		i = least
	}
}

// close gives the file back.
func (x *sorter) close() error {
	if x.file == nil {
		return nil
	}
	err := x.file.close()
	x.file = nil
	return err
}

// pieceReader reads a sorted piece, block by block.
type pieceReader struct {
	f        *sortFile
	piece    piece // what is left of it
	block    blockReader
	stored   []byte
	rows     []byte
	payloads []byte
	place    ProductPlace // of the row that it is at
}

// next moves to the next row, which is in block.row with its payload.
func (p *pieceReader) next() (has bool, err error) {
	for !p.block.next() {
		if p.block.err != nil {
			return false, p.block.err
		}
		if p.piece.from == p.piece.to {
			return false, nil
		}
		if err := p.load(); err != nil {
			return false, fmt.Errorf("read sorted rows at byte %d: %w", p.piece.from, err)
		}
	}
	r := &p.block.row
	if r.Payload, err = payloadOf(p.payloads, p.block.from, p.block.size); err != nil {
		return false, err
	}
	p.place = r.ProductPlace()
	return true, nil
}

func (p *pieceReader) load() (err error) {
	var head [frameBytes]byte
	if _, err := p.f.file.ReadAt(head[:], p.piece.from); err != nil {
		return err
	}
	h, err := decodeFrame(head[:])
	if err != nil {
		return err
	}
	p.piece.from += frameBytes
	p.stored = slices.Grow(p.stored[:0], h.rows+h.payloads)[:h.rows+h.payloads]
	if _, err := p.f.file.ReadAt(p.stored, p.piece.from); err != nil {
		return err
	}
	if h.crc != checksum(p.stored) {
		return errors.New("its checksum does not match")
	}
	p.piece.from += int64(len(p.stored))
	c := p.f.s.codec
	if p.rows, err = c.unseal(p.rows[:0], p.stored[:h.rows]); err != nil {
		return err
	}
	if p.payloads = p.payloads[:0]; h.payloads > 0 {
		if p.payloads, err = c.unseal(p.payloads, p.stored[h.rows:]); err != nil {
			return err
		}
	}
	return p.block.open(h.key, p.rows)
}
