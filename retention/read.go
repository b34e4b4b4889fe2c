package retention

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// groupReader reads single groups of one open directory, by key. Its buffers are reused: what it returns is valid until
// the next call.
type groupReader struct {
	in     *instance
	txn    *badger.Txn
	key    []byte
	value  []byte // the header's value
	head   header // points into value
	chunks [][]byte
}

// readHeader reads and checks the header of a group into value and head.
func (r *groupReader) readHeader(seq uint64) error {
	var err error
	if r.value, err = r.get(seq, 0, r.value); err == nil {
		err = r.head.decode(r.value)
	}
	if err == nil && r.head.seq != seq {
		err = fmt.Errorf("its header says group %d", r.head.seq)
	}
	if err != nil {
		return fmt.Errorf("group %d: %w", seq, err)
	}
	return nil
}

// readChunks reads and checks the chunks of the group whose header was read.
func (r *groupReader) readChunks() ([][]byte, error) {
	for len(r.chunks) < len(r.head.chunks) {
		r.chunks = append(r.chunks, nil)
	}
	for i := range r.head.chunks {
		var err error
		if r.chunks[i], err = r.get(r.head.seq, i+1, r.chunks[i]); err == nil {
			err = r.head.check(i, r.chunks[i])
		}
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", r.head.seq, err)
		}
	}
	return r.chunks[:len(r.head.chunks)], nil
}

// read reads and checks a whole group.
func (r *groupReader) read(seq uint64) error {
	if err := r.readHeader(seq); err != nil {
		return err
	}
	_, err := r.readChunks()
	return err
}

// get copies one value into dst: Badger keeps its file locked while it is looked at, and Append may be waiting for that
// lock. A value that Badger cannot read comes without an error (iterator.go, yieldItemValue); its hash then does not
// match.
func (r *groupReader) get(seq uint64, part int, dst []byte) (value []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("badger panicked while reading part %d: %v", part, p)
		}
	}()
	r.key = appendKey(r.key[:0], seq, part)
	item, err := r.txn.Get(r.key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return dst, fmt.Errorf("part %d is missing", part)
	}
	if err != nil {
		return dst, fmt.Errorf("read part %d: %w", part, err)
	}
	if dst, err = item.ValueCopy(dst[:0]); err != nil {
		return dst, fmt.Errorf("read part %d: %w", part, err)
	}
	return dst, nil
}
