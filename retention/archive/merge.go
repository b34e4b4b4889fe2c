package archive

import (
	"fmt"
)

// runReader reads a whole run, row by row, in the order of devices and places.
type runReader struct {
	s       *Store
	d       directory
	key     entryKey // of the block
	block   blockReader
	raw     []byte
	pending []blockOf // read ahead
	// payloads is the payload block of key, once a row has one.
	payloads []byte
	rows     uint64
	ended    bool
}

// rowReader reads rows in the order of devices and places.
type rowReader interface {
	next() (*Row, error) // nil at the end; valid until it is called again
}

type blockOf struct {
	key    entryKey
	stored []byte
}

// next returns the next row with its payload.
func (r *runReader) next() (row *Row, err error) {
	for !r.block.next() {
		if r.block.err != nil {
			return nil, r.damaged(r.block.err)
		}
		if err := r.nextBlock(); err != nil || r.ended {
			return nil, err
		}
	}
	r.rows++
	if r.block.size > 0 && r.payloads == nil {
		if r.payloads, err = r.s.payloads(r.d.number, r.key); err != nil {
			return nil, err
		}
	}
	if r.block.row.Payload, err = payloadOf(r.payloads, r.block.from, r.block.size); err != nil {
		return nil, r.damaged(err)
	}
	return &r.block.row, nil
}

func (r *runReader) damaged(err error) error { return r.s.damaged(&r.d, err) }

// nextBlock goes to the next block; behind the last one it proves that all rows were there.
func (r *runReader) nextBlock() (err error) {
	if len(r.pending) == 0 {
		behind := entryKey{r.key.device, r.key.place.next()}
		if r.pending, err = r.s.entries(r.d.number, spaceRows, behind, readAheadBytes); err != nil {
			return err
		}
	}
	if len(r.pending) == 0 {
		r.ended = true
		if r.rows != r.d.rows {
			return r.damaged(fmt.Errorf("it has %d rows, and was written with %d", r.rows, r.d.rows))
		}
		return nil
	}
	b := r.pending[0]
	r.pending, r.payloads, r.key = r.pending[1:], nil, b.key
	if r.raw, err = r.s.codec.unseal(r.raw[:0], b.stored); err == nil {
		err = r.block.open(b.key, r.raw)
	}
	if err != nil {
		return r.damaged(err)
	}
	return nil
}

// eachOf calls fn for all rows of some runs, in the order of devices and places. Runs hold whole groups, so the rows of
// a device in one of them come before or behind those in another one; the numbers of runs do not tell, for some were
// rewritten.
func (s *Store) eachOf(runs []directory, fn func(*Row) error) error {
	readers := make([]rowReader, len(runs))
	for i := range runs {
		readers[i] = &runReader{s: s, d: runs[i]}
	}
	return merged(readers, fn)
}

// merged calls fn for the rows of all readers in the order of devices; those of one device reader by reader, in the
// order of their next rows' places, or else in that of the readers.
func merged(readers []rowReader, fn func(*Row) error) error {
	const ended = ^Device(0)
	rows, heads := make([]*Row, len(readers)), make([]Device, len(readers))
	advance := func(i int) (err error) {
		if rows[i], err = readers[i].next(); err != nil {
			return err
		}
		heads[i] = ended
		if rows[i] != nil {
			heads[i] = rows[i].Device
		}
		return nil
	}
	for i := range readers {
		if err := advance(i); err != nil {
			return err
		}
	}
	for {
		least := 0
		for i := 1; i < len(heads); i++ {
			if heads[i] < heads[least] || heads[i] == heads[least] && heads[i] != ended &&
				rows[i].Place().Compare(rows[least].Place()) < 0 {
				least = i
			}
		}
		if len(heads) == 0 || heads[least] == ended {
			return nil
		}
		for d := heads[least]; heads[least] == d; {
			if err := fn(rows[least]); err != nil {
				return err
			}
			if err := advance(least); err != nil {
				return err
			}
		}
	}
}
