package archive

import (
	"context"
	"math"
)

// productSource has the rows of a product in one directory, in the order of a query: first those that the directory
// keeps once more if the newest are wanted, then as many as are wanted of the others, or all of them, sorted.
type productSource struct {
	p   *ProductReader
	dir *directory
	// bound is the place of the next row, or one that no row comes before.
	bound ProductPlace
	ready bool // bound is the place of a row
	ended bool

	triedNewest bool
	chosen      bool
	newestTo    ProductPlace // behind which rows are not among those kept once more; the zero place: none were
	rows        best
	list        []bestRow
	at          int
	sorted      *sorter
	row         *Row // of sorted
	// Rows decided from here to there are in sorted, or were.
	fromMs, toMs int64
	// payloads is the inflated payload block of payloadsOf.
	payloads   []byte
	payloadsOf entryKey
}

func newProductSource(p *ProductReader, d *directory) *productSource {
	return &productSource{p: p, dir: d, bound: direction(p.q.Oldest).edge(d.firstMs, d.lastMs)}
}

// settle finds out where the source stands.
func (x *productSource) settle() {
	switch {
	case x.row != nil:
		x.bound, x.ready = x.row.ProductPlace(), true
	case x.at < len(x.list):
		x.bound, x.ready = x.list[x.at].place, true
	default:
		x.ready = false
	}
}

// take returns the row that the source stands at, with its payload.
func (x *productSource) take() (*Row, error) {
	if x.row != nil {
		return x.row, nil
	}
	b := &x.list[x.at]
	if b.size == 0 || b.Payload != nil {
		return &b.Row, nil
	}
	var err error
	b.Payload, err = x.payload(b.key, b.from, b.size)
	return &b.Row, err
}

func (x *productSource) payload(key entryKey, from, size int) ([]byte, error) {
	if x.payloads == nil || x.payloadsOf != key {
		var err error
		if x.payloads, err = x.p.s.payloads(x.dir.number, key); err != nil {
			return nil, err
		}
		x.payloadsOf = key
	}
	payload, err := payloadOf(x.payloads, from, size)
	if err != nil {
		return nil, x.p.s.damaged(x.dir, err)
	}
	return payload, nil
}

// skip goes on to the next row.
func (x *productSource) skip() (err error) {
	if x.row != nil {
		x.row, err = x.sorted.next()
	} else {
		x.list[x.at].Payload = nil
		x.at++
	}
	x.settle()
	return err
}

// close gives back what was sorted.
func (x *productSource) close() error {
	if x.sorted == nil {
		return nil
	}
	err := x.sorted.close()
	x.sorted = nil
	return err
}

// load makes the next rows ready, moves the bound, or finds the end.
func (x *productSource) load(ctx context.Context) (err error) {
	q := &x.p.q
	switch {
	case !q.Oldest && !x.triedNewest:
		x.triedNewest = true
		err = x.loadNewest()
	case q.Rows == 0:
		err = x.sort(ctx)
	case x.chosen:
		x.ended = true // There were as many as are wanted, or all.
	default:
		x.chosen = true
		err = x.choose(ctx)
	}
	x.settle()
	return err
}

// times returns the decided times of rows that the query still wants of the directory.
func (x *productSource) times() (fromMs, toMs int64) {
	fromMs, toMs = x.p.q.times()
	fromMs, toMs = max(fromMs, x.dir.firstMs), min(toMs, x.dir.lastMs)
	if x.newestTo != (ProductPlace{}) {
		toMs = min(toMs, x.newestTo.DecidedMs)
	}
	return fromMs, toMs
}

// loadNewest takes the newest rows that the directory keeps once more.
func (x *productSource) loadNewest() error {
	q := &x.p.q
	x.rows = best{rowsMax: newestRowsMax, bytesMax: math.MaxInt}
	oldest, has, err := x.p.s.eachNewest(x.dir, q.Product, func(r *Row) {
		if q.wants(r) {
			x.rows.add(r, entryKey{}, 0, 0)
		}
	})
	if err != nil || !has {
		return err
	}
	x.list, x.at = x.rows.sorted(), 0
	x.newestTo, x.bound = oldest, oldest
	return nil
}

// wants reports whether the query still wants a row of the directory.
func (x *productSource) wants(r *Row) bool {
	return x.p.q.wants(r) && (x.newestTo == (ProductPlace{}) || r.ProductPlace().Compare(x.newestTo) < 0)
}

// choose finds as many rows as the query wants, in one scan.
func (x *productSource) choose(ctx context.Context) error {
	q := &x.p.q
	x.rows = best{oldest: direction(q.Oldest), rowsMax: q.Rows, bytesMax: math.MaxInt}
	err := x.scan(ctx, func(key entryKey, b *blockReader) error {
		fromMs, toMs := x.times()
		if len(x.rows.heap) == q.Rows { // What comes behind the last one of them is not looked at.
			if q.Oldest {
				toMs = min(toMs, x.rows.heap[0].DecidedMs)
			} else {
				fromMs = max(fromMs, x.rows.heap[0].DecidedMs)
			}
		}
		if !b.hasTimes(fromMs, toMs) {
			return nil
		}
		for b.next() {
			if r := &b.row; r.DecidedMs >= fromMs && r.DecidedMs <= toMs && x.rows.takes(r.ProductPlace()) && x.wants(r) {
				x.rows.add(r, key, b.from, b.size)
			}
		}
		return b.err
	})
	x.list, x.at = x.rows.sorted(), 0
	return err
}

// sort sorts all rows that the query wants; of a directory that lasts for weeks a part after the other.
func (x *productSource) sort(ctx context.Context) error {
	fromMs, toMs := x.times()
	if x.sorted != nil { // Behind the part that has ended.
		if x.p.q.Oldest {
			fromMs = max(fromMs, x.toMs+1)
		} else {
			toMs = min(toMs, x.fromMs-1)
		}
		if err := x.close(); err != nil {
			return err
		}
	}
	if fromMs > toMs {
		x.ended = true
		return nil
	}
	if x.p.q.Oldest {
		toMs = min(toMs, fromMs+sortMs-1)
	} else {
		fromMs = max(fromMs, toMs-sortMs+1)
	}
	x.fromMs, x.toMs, x.sorted = fromMs, toMs, x.p.s.newSorter(direction(x.p.q.Oldest), fromMs)
	err := x.scan(ctx, func(key entryKey, b *blockReader) error {
		if !b.hasTimes(fromMs, toMs) {
			return nil
		}
		for b.next() {
			r := &b.row
			if r.DecidedMs < fromMs || r.DecidedMs > toMs || !x.wants(r) {
				continue
			}
			if b.size > 0 {
				var err error
				if r.Payload, err = x.payload(key, b.from, b.size); err != nil {
					return err
				}
			}
			if err := x.sorted.add(r); err != nil {
				return err
			}
		}
		return b.err
	})
	if err == nil {
		err = x.sorted.finish()
	}
	if err == nil {
		x.row, err = x.sorted.next()
	}
	x.payloads = nil
	x.bound = direction(x.p.q.Oldest).edge(toMs+1, fromMs-1) // If there was none.
	return err
}

// scan calls fn for each block of the product. Some are copied at once; nothing is held while fn runs.
func (x *productSource) scan(ctx context.Context, fn func(entryKey, *blockReader) error) error {
	s, product := x.p.s, x.p.q.Product
	next := entryKey{device: Known(product, 0)}
	var raw []byte
	var b blockReader
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		blocks, err := s.entries(x.dir.number, spaceRows, next, scanBytes)
		if err != nil || len(blocks) == 0 {
			return err
		}
		last := blocks[len(blocks)-1].key
		next = entryKey{last.device, last.place.next()}
		for i := range blocks {
			if blocks[i].key.device.Product() != product {
				return nil
			}
			if raw, err = s.codec.unseal(raw[:0], blocks[i].stored); err == nil {
				err = b.open(blocks[i].key, raw)
			}
			if err != nil {
				return s.damaged(x.dir, err)
			}
			if x.p.q.Denied && b.cols[colCodes].zeroes || x.p.q.Topics && b.cols[colExtras].zeroes {
				continue
			}
			if err := fn(blocks[i].key, &b); err != nil {
				return err
			}
			if b.err != nil {
				return s.damaged(x.dir, b.err)
			}
		}
	}
}
