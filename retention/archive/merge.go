package archive

import "fmt"

// runReader gives the blocks of a run.
type runReader struct {
	s       *Store
	d       directory
	key     entryKey // of the block
	raw     []byte
	pending []blockOf // read ahead
	rows    uint64
}

type blockOf struct {
	key    entryKey
	stored []byte
}

// next returns the next block; behind the last one it proves that all rows were there.
func (r *runReader) next() (key entryKey, rows []byte, found bool, err error) {
	if len(r.pending) == 0 {
		behind := entryKey{r.key.device, r.key.place.next()}
		if r.pending, err = r.s.entries(r.d.number, spaceRows, behind, readAheadBytes); err != nil {
			return key, nil, false, err
		}
	}
	if len(r.pending) == 0 {
		if r.rows != r.d.rows {
			err = r.damaged(fmt.Errorf("it has %d rows, and was written with %d", r.rows, r.d.rows))
		}
		return key, nil, false, err
	}
	b := r.pending[0]
	r.pending, r.key = r.pending[1:], b.key
	if r.raw, err = r.s.codec.unseal(r.raw[:0], b.stored); err != nil {
		return key, nil, false, r.damaged(err)
	}
	head := column{b: r.raw}
	r.rows += head.uvarint()
	return b.key, r.raw, true, nil
}

func (r *runReader) payloads() ([]byte, error) { return r.s.payloads(r.d.number, r.key) }

func (r *runReader) damaged(err error) error { return r.s.damaged(&r.d, err) }

// eachOf calls fn for all rows of some runs, in the order of devices and places, many at a time; base is when none of
// them was decided before.
func (s *Store) eachOf(runs []directory, baseMs int64, fn func(*batch) error) error {
	lists := make([]blockList, len(runs))
	for i := range runs {
		lists[i] = &runReader{s: s, d: runs[i]}
	}
	return merged(lists, baseMs, fn)
}
