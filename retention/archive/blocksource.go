package archive

import (
	"errors"
	"math"
	"slices"
)

// blocks are those of a directory, or of a batch in memory, in the order of their keys.
type blocks interface {
	// seek returns the last block at or before a key, or the first one at or behind it; found is false without one. The
	// raw rows stay as they are.
	seek(key entryKey, before bool) (at entryKey, raw []byte, found bool, err error)
	// payloads returns the payloads of the block with a key, raw.
	payloads(at entryKey) ([]byte, error)
	// announce has the disk read what a seek before the key will need, and does not wait.
	announce(key entryKey) error
	// damaged wraps an error in what was read.
	damaged(err error) error
}

// blockSource reads the rows of one device, block by block.
type blockSource struct {
	from   blocks
	device Device
	q      *Query
	w      window // what is left
	ended  bool
	key    entryKey // of the block that was read last
	rows   []Row    // of it, those that are wanted
	at     int
	isTold bool  // announced
	failed error // for ever: a block that failed must not be passed over
}

func newBlockSource(from blocks, firstMs, lastMs int64, device Device, q *Query, w window) *blockSource {
	if first := (Place{DecidedMs: firstMs}); w.from.Compare(first) < 0 {
		w.from = first
	}
	if last := (Place{lastMs, math.MaxUint64}); w.to.Compare(last) > 0 {
		w.to = last
	}
	return &blockSource{from: from, device: device, q: q, w: w, ended: w.from.Compare(w.to) > 0}
}

func (d *blockSource) ready() bool { return d.at < len(d.rows) }

func (d *blockSource) bound() (Place, bool) {
	switch {
	case d.ready():
		return d.rows[d.at].Place(), false
	case d.q.Oldest:
		return d.w.from, d.ended
	}
	return d.w.to, d.ended
}

func (d *blockSource) row() *Row { return &d.rows[d.at] }

func (d *blockSource) skip() { d.at++ }

func (d *blockSource) isAnnounced() bool { return d.isTold }

func (d *blockSource) announce() {
	d.isTold = true
	target, _ := d.target()
	d.failed = d.from.announce(target)
}

// load reads the next block that may have rows of the device.
func (d *blockSource) load() error {
	if d.failed == nil {
		d.failed = d.read()
	}
	return d.failed
}

func (d *blockSource) read() error {
	d.rows, d.at, d.isTold = d.rows[:0], 0, false
	isFirst := d.key == (entryKey{})
	target, before := d.target()
	key, raw, found, err := d.from.seek(target, before)
	switch {
	case err != nil:
		return err
	case found:
		d.key = key
		return d.take(raw)
	case d.q.Oldest && isFirst:
		// The search for the block that the window begins in has ended before the first block.
		d.key = entryKey{device: 1}
	default:
		d.ended = true
	}
	return nil
}

// target is what is sought: the last block that begins at or before the end of the window, or oldest first, once a
// block was read, the one behind it.
func (d *blockSource) target() (key entryKey, before bool) {
	switch {
	case !d.q.Oldest:
		return entryKey{d.device, d.w.to}, true
	case d.key == (entryKey{}):
		return entryKey{d.device, d.w.from}, true
	}
	return entryKey{d.key.device, d.key.place.next()}, false
}

// take keeps the wanted rows of a block, in the order of the query, and narrows the window to what is left.
func (d *blockSource) take(raw []byte) error {
	if d.q.Oldest && d.key.device > d.device {
		d.ended = true
		return nil
	}
	var b blockReader
	if err := b.open(d.key, raw); err != nil {
		return d.from.damaged(err)
	}
	var pieces []payloadAt
	behind := false // A row lies behind those of the window.
	for !behind && b.next() {
		r := &b.row
		behind = r.Device > d.device || r.Device == d.device && r.Place().Compare(d.w.to) > 0
		if r.Device != d.device || !d.w.has(r.Place()) {
			continue
		}
		if d.q.Oldest {
			d.w.from = r.Place().next()
		}
		if d.q.wants(d.device, r) {
			d.rows, pieces = append(d.rows, *r), append(pieces, payloadAt{b.from, b.size})
		}
	}
	if b.err != nil {
		return d.from.damaged(b.err)
	}
	if err := d.pay(pieces); err != nil {
		return err
	}
	if d.q.Oldest {
		d.ended = behind
	} else {
		slices.Reverse(d.rows)
		d.ended = d.key.device != d.device
		if d.key.device == d.device {
			d.w.to = d.key.place.before()
		}
	}
	d.ended = d.ended || d.w.from.Compare(d.w.to) > 0
	return nil
}

// payloadAt is where the payload of a row lies in the payloads of its block.
type payloadAt struct{ from, size int }

// pay sets the payloads of the rows that were taken. It copies them, so that nothing of their neighbours' is kept.
func (d *blockSource) pay(pieces []payloadAt) error {
	n := 0
	for _, p := range pieces {
		n += p.size
	}
	if n == 0 {
		return nil
	}
	all, err := d.from.payloads(d.key)
	if err != nil {
		return err
	}
	own := make([]byte, 0, n)
	for i, p := range pieces {
		payload, err := payloadOf(all, p.from, p.size)
		if err != nil {
			return d.from.damaged(err)
		}
		if p.size > 0 {
			own = append(own, payload...)
			d.rows[i].Payload = own[len(own)-p.size : len(own) : len(own)]
		}
	}
	return nil
}

var errFewPayloads = errors.New("a block has fewer payloads than its rows say")

// dirBlocks are the blocks of a directory.
type dirBlocks struct {
	s   *Store
	dir *directory
	// The entries that were read last, of block `at` of the rows, plus one; the next one often is among them.
	at   int
	read *tableEntries
}

func (d *dirBlocks) seek(key entryKey, before bool) (at entryKey, raw []byte, found bool, err error) {
	var stored []byte
	err = d.s.look(d.dir.number, func(t *tables) error {
		rows := t.of(spaceRows)
		for i := max(rows.at(key), 0); i < len(rows.blocks); i++ {
			if d.at != i+1 {
				if d.read, err = t.read(rows, i); err != nil {
					d.at = 0
					return err
				}
				d.at = i + 1
			}
			k := d.read.find(key, before)
			if found = k >= 0; found {
				at, stored = d.read.keys[k], d.read.values[k]
			}
			if found || before {
				return nil
			}
		}
		return nil
	})
	if err != nil || !found {
		return at, nil, false, err
	}
	if raw, err = d.s.codec.unseal(nil, stored); err != nil {
		return at, nil, false, d.damaged(err)
	}
	return at, raw, true, nil
}

func (d *dirBlocks) payloads(at entryKey) ([]byte, error) { return d.s.payloads(d.dir.number, at) }

func (d *dirBlocks) announce(key entryKey) error {
	return d.s.look(d.dir.number, func(t *tables) error {
		t.announce(key)
		return nil
	})
}

func (d *dirBlocks) damaged(err error) error { return d.s.damaged(d.dir, err) }
