package archive

import (
	"bytes"
	"cmp"
	"fmt"
	"sort"
)

// packed is a batch in the order of devices, in the columns of a directory's blocks: a row takes a third of what it
// takes while it is gathered. It never changes.
type packed struct {
	blocks          []packedBlock
	rows            int
	firstMs, lastMs int64
}

type packedBlock struct {
	key            entryKey
	rows, payloads []byte
}

// pack packs rows that are in the order of devices and places.
func (m *Memory) pack(b *batch) *packed {
	p := &packed{rows: len(b.rows)}
	var order Orders
	var r Row
	e := &m.block
	e.reset()
	flush := func() {
		if e.rows == 0 {
			return
		}
		if len(p.blocks) == 0 {
			p.firstMs, p.lastMs = e.firstMs, e.lastMs
		}
		p.firstMs, p.lastMs = min(p.firstMs, e.firstMs), max(p.lastMs, e.lastMs)
		m.raw = e.finish(m.raw[:0])
		p.blocks = append(p.blocks, packedBlock{e.key(), bytes.Clone(m.raw), bytes.Clone(e.payloads)})
		e.reset()
		if m.rest != nil && len(p.blocks)%restBlocks == 0 {
			m.rest()
		}
	}
	for i := 0; i < len(b.rows); {
		if e.rows == packedRows || !e.takes(b.rows[i].device) {
			flush()
		}
		if n := e.addBare(b.rows[i:], packedRows, m.baseMs, &order); n > 0 {
			i += n
			continue
		}
		b.row(&r, i, m.baseMs)
		order.Number(&r)
		e.add(&r)
		i++
	}
	flush()
	return p
}

// bytes is what the blocks take.
func (p *packed) bytes() int {
	n := 0
	for i := range p.blocks {
		n += cap(p.blocks[i].rows) + cap(p.blocks[i].payloads) + packedBlockBytes
	}
	return n
}

func (p *packed) seek(key entryKey, before bool) (at entryKey, raw []byte, found bool, err error) {
	i := sort.Search(len(p.blocks), func(i int) bool {
		c := p.blocks[i].key.compare(key)
		return c > 0 || c == 0 && !before
	})
	if before {
		i--
	}
	if i < 0 || i == len(p.blocks) {
		return at, nil, false, nil
	}
	return p.blocks[i].key, p.blocks[i].rows, true, nil
}

func (p *packed) payloads(at entryKey) ([]byte, error) {
	i, found := sort.Find(len(p.blocks), func(i int) int { return at.compare(p.blocks[i].key) })
	if !found {
		return nil, nil
	}
	return p.blocks[i].payloads, nil
}

func (p *packed) announce(entryKey) error { return nil }

func (p *packed) damaged(err error) error { return fmt.Errorf("a batch in memory: %w", err) }

func (k entryKey) compare(o entryKey) int {
	return cmp.Or(cmp.Compare(k.device, o.device), k.place.Compare(o.place))
}

// packedReader gives the blocks of a packed batch.
type packedReader struct {
	p  *packed
	at int // the next block
}

func (r *packedReader) next() (key entryKey, rows []byte, found bool, err error) {
	if r.at == len(r.p.blocks) {
		return key, nil, false, nil
	}
	b := &r.p.blocks[r.at]
	r.at++
	return b.key, b.rows, true, nil
}

func (r *packedReader) payloads() ([]byte, error) { return r.p.blocks[r.at-1].payloads, nil }

func (r *packedReader) damaged(err error) error { return r.p.damaged(err) }
