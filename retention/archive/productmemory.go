package archive

import (
	"cmp"
	"slices"
	"sort"
)

// owners says whose the devices of some rows are.
type owners struct {
	ordinals []uint64
	products []uint32
}

// pick returns those rows of a batch in memory that the query asks for, in its order.
func (p *ProductReader) pick(b *batch, baseMs int64) (*sorter, error) {
	picked := &sorter{s: p.s, oldest: direction(p.q.Oldest), baseMs: baseMs}
	pick := p.pickGathered
	if b.packed != nil {
		pick = p.pickPacked
	}
	if err := pick(b, picked); err != nil {
		return nil, err
	}
	picked.order()
	return picked, nil
}

// pickPacked copies rows from the product's blocks.
func (p *ProductReader) pickPacked(from *batch, picked *sorter) error {
	blocks := from.packed.blocks
	i := sort.Search(len(blocks), func(i int) bool { return blocks[i].key.device.Product() >= p.q.Product })
	fromMs, toMs := p.q.times()
	var b blockReader
	for ; i < len(blocks) && blocks[i].key.device.Product() == p.q.Product; i++ {
		if err := b.open(blocks[i].key, blocks[i].rows); err != nil {
			return from.packed.damaged(err)
		}
		if !b.hasTimes(fromMs, toMs) {
			continue
		}
		for b.next() {
			r := &b.row
			if r.DecidedMs < fromMs || r.DecidedMs > toMs || !p.q.wants(r) {
				continue
			}
			if r.Payload, b.err = payloadOf(blocks[i].payloads, b.from, b.size); b.err == nil {
				picked.keep(r)
			}
		}
		if b.err != nil {
			return from.packed.damaged(b.err)
		}
	}
	return nil
}

// pickGathered picks rows whose texts stay where they are.
func (p *ProductReader) pickGathered(b *batch, picked *sorter) error {
	rows, err := p.rowsOf(b, picked.baseMs)
	if err != nil {
		return err
	}
	picked.rows.texts = b.texts
	baseMs := picked.baseMs
	fromMs, toMs := p.q.times()
	all := batch{rows: rows, texts: b.texts}
	var order Orders
	var r Row
	for i := range rows {
		m := &rows[i]
		r = Row{Device: m.device, DecidedMs: baseMs + int64(m.ms), Tie: m.tie}
		order.Number(&r)
		if r.DecidedMs < fromMs || r.DecidedMs > toMs {
			continue
		}
		number := r.Order
		all.row(&r, i, baseMs)
		if r.Order = number; !p.q.wants(&r) {
			continue
		}
		picked.rows.rows = append(picked.rows.rows, *m)
		picked.orders = append(picked.orders, number)
	}
	return nil
}

// rowsOf returns the product's rows of a batch that is gathered, by device and in the order of the device's places.
func (p *ProductReader) rowsOf(b *batch, baseMs int64) ([]memoryRow, error) {
	var rows []memoryRow
	for at := 0; at < len(b.rows); at += ownersAtOnce {
		some := b.rows[at:min(at+ownersAtOnce, len(b.rows))]
		if err := p.owners.ask(some, p.q.Owners); err != nil {
			return nil, err
		}
		for i := range some {
			m := some[i]
			if m.device.IsKnown() {
				m.device = Known(p.owners.products[i], m.device.Ordinal())
			}
			if m.device.Product() == p.q.Product {
				m.logDays = b.daysOf(m.device)
				rows = append(rows, m)
			}
		}
	}
	rows = p.nearest(rows, b.texts, baseMs)
	slices.SortStableFunc(rows, func(x, y memoryRow) int {
		return cmp.Or(cmp.Compare(x.device, y.device), cmp.Compare(x.ms, y.ms), cmp.Compare(x.tie, y.tie),
			cmp.Compare(x.used(), y.used()))
	})
	return rows, nil
}

// nearest leaves out rows that lie behind as many as are wanted, so that few are sorted: those of later milliseconds.
func (p *ProductReader) nearest(rows []memoryRow, texts []byte, baseMs int64) []memoryRow {
	q := &p.q
	if q.Rows == 0 || len(rows) <= q.Rows {
		return rows
	}
	fromMs, toMs := q.times()
	all := batch{rows: rows, texts: texts}
	var r Row
	var wanted []uint32 // milliseconds of rows that are wanted whatever their order within one
	for i := range rows {
		ms := baseMs + int64(rows[i].ms)
		if ms < fromMs || ms > toMs || q.After != (ProductPlace{}) && ms == q.After.DecidedMs {
			continue
		}
		if all.row(&r, i, baseMs); q.Wants == nil || q.Wants(&r) {
			wanted = append(wanted, rows[i].ms)
		}
	}
	if len(wanted) <= q.Rows {
		return rows
	}
	slices.Sort(wanted)
	least, most := wanted[len(wanted)-q.Rows], wanted[q.Rows-1]
	return slices.DeleteFunc(rows, func(m memoryRow) bool { return q.Oldest && m.ms > most || !q.Oldest && m.ms < least })
}

// ask looks up whose the devices of rows are. What it says of a device without an ordinal means nothing.
func (o *owners) ask(rows []memoryRow, whose func([]uint64, []uint32) error) error {
	o.ordinals = o.ordinals[:0]
	for i := range rows {
		ordinal := uint64(0)
		if rows[i].device.IsKnown() {
			ordinal = rows[i].device.Ordinal()
		}
		o.ordinals = append(o.ordinals, ordinal)
	}
	o.products = slices.Grow(o.products[:0], len(rows))[:len(rows)]
	return whose(o.ordinals, o.products)
}
