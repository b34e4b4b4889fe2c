package recovery

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/meterd/meterd/shard/record"
)

// Totals is what every product has used since it was created. It changes only while the gate is closed, so between two
// groups it is exactly what the log says. It is safe for concurrent use.
type Totals struct {
	mu       sync.Mutex
	products map[uint32]*productTotals
}

// productTotals are a product's totals, and the bucket of its last event.
type productTotals struct {
	last record.Bucket
	record.Totals
}

func (t *Totals) init() { t.products = map[uint32]*productTotals{} }

func (t *Totals) product(id uint32) *productTotals {
	p := t.products[id]
	if p == nil {
		p = &productTotals{}
		t.products[id] = p
	}
	return p
}

// Seal adds what lanes gathered for a group, and appends the totals after each bucket to dst, ascending, as the head of
// the group says them. It orders gathered anew. The gate is closed.
func (t *Totals) Seal(dst, gathered []record.BucketTotals) []record.BucketTotals {
	slices.SortFunc(gathered, func(a, b record.BucketTotals) int { return a.Compare(b.Bucket) })
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range gathered {
		g := &gathered[i]
		p := t.product(g.Product)
		p.Add(&g.Totals)
		if i+1 == len(gathered) || gathered[i+1].Bucket != g.Bucket {
			p.last = g.Bucket
			dst = append(dst, record.BucketTotals{Bucket: g.Bucket, Totals: p.Clone()})
		}
	}
	return dst
}

// Join raises a product's totals to what a record or a checkpoint says of them; recovery only.
func (t *Totals) Join(d *record.BucketTotals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.product(d.Product)
	p.Totals.Join(&d.Totals)
	if d.Compare(p.last) > 0 {
		p.last = d.Bucket
	}
}

// Of returns the totals of a product, and the bucket of its last event.
func (t *Totals) Of(product uint32) record.BucketTotals {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.products[product]
	if p == nil {
		return record.BucketTotals{Bucket: record.Bucket{Product: product}}
	}
	return record.BucketTotals{Bucket: p.last, Totals: p.Clone()}
}

// All returns the totals of every product that was used, in the order of their ordinals.
func (t *Totals) All() []record.BucketTotals {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]record.BucketTotals, 0, len(t.products))
	for _, id := range slices.SortedFunc(maps.Keys(t.products), cmp.Compare[uint32]) {
		p := t.products[id]
		all = append(all, record.BucketTotals{Bucket: p.last, Totals: p.Clone()})
	}
	return all
}

// sections returns all totals as a checkpoint holds them.
func (t *Totals) sections() [][]byte {
	var s sections
	all := t.All()
	for i := range all {
		s.add(func(dst []byte) []byte { return appendTotals(dst, &all[i]) })
	}
	return s.all()
}

// totalsBytes is the size of an entry of the totals' section before its totals: product, quarter, day.
const totalsBytes = 4 + 4 + 2

func appendTotals(dst []byte, t *record.BucketTotals) []byte {
	return appendEntry(dst, func(row []byte) []byte {
		row = binary.LittleEndian.AppendUint32(row, t.Product)
		row = binary.LittleEndian.AppendUint32(row, t.Quarter)
		row = binary.LittleEndian.AppendUint16(row, uint16(t.Day))
		return t.Append(row)
	})
}

func decodeTotals(row []byte) (t record.BucketTotals, err error) {
	if len(row) < totalsBytes {
		return t, errSection
	}
	t.Product, t.Quarter = binary.LittleEndian.Uint32(row), binary.LittleEndian.Uint32(row[4:])
	t.Day = uint32(binary.LittleEndian.Uint16(row[8:]))
	t.Totals, err = record.DecodeTotals(row[totalsBytes:])
	return t, err
}
