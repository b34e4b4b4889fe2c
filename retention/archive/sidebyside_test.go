package archive

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Batches side by side give all rows in the order of devices and places, whether a device's rows fit in memory or not,
// and in whatever order the lists are.
func TestMergedInOrder(t *testing.T) {
	for _, c := range []struct{ devices, unknown, groups, rows, deviceBytes int }{
		{3, 20, 40, 100, 1},
		{3, 20, 40, 200, 20_000},
		{3, 20, 40, 100, deviceBytes},
		{2000, 1000, 20, 300, deviceBytes},
		{2000, 1000, 20, 300, 1},
		{1, 1000, 5, 3000, 1000},
	} {
		h := newHistory(3, c.devices)
		h.unknown = c.unknown
		var m Memory
		var ties Ties
		for i := range c.groups {
			g := h.next(c.rows, time.Duration(i%3)*time.Second)
			first, others := ties.Next(g.seq, g.firstMs, g.lastMs)
			for _, r := range g.rows {
				if r.Tie = others; r.DecidedMs == g.firstMs {
					r.Tie = first
				}
				m.add(&r, g.firstMs, nil)
			}
			if i%7 == 3 || i == c.groups-1 {
				last := &m.batches[len(m.batches)-1]
				*last = m.ordered(last, productOf)
			}
		}
		var lists []blockList
		for i := range m.batches {
			lists = append(lists, &packedReader{p: m.batches[i].packed})
		}
		slices.Reverse(lists)
		var have []Row
		var order Orders
		x := merging{baseMs: m.baseMs, deviceBytes: c.deviceBytes, fn: func(b *batch) error {
			for i := range b.rows {
				var r Row
				b.row(&r, i, m.baseMs)
				r.Name, r.ID, r.Topic, r.Payload = clone(r.Name), clone(r.ID), clone(r.Topic), clone(r.Payload)
				order.Number(&r)
				have = append(have, r)
			}
			return nil
		}}
		if err := x.run(lists); err != nil {
			t.Fatal(err)
		}
		for i := range h.rows {
			h.rows[i].LogDays = 0
		}
		slices.SortStableFunc(h.rows, func(a, b Row) int {
			return cmp.Or(cmp.Compare(a.Device, b.Device), a.Place().Compare(b.Place()))
		})
		same(t, fmt.Sprintf("%+v", c), have, h.rows)
	}
}

// Rows that are bare are packed and unpacked as the others are, also those with large numbers, and those of one device
// and millisecond.
func TestBareRowsAreRows(t *testing.T) {
	h := newHistory(5, 50)
	var rows []Row
	up := map[uint64]uint32{}
	for i := range 5000 {
		o := uint64(h.dice.IntN(50))
		up[o] += h.dice.Uint32N(3) * h.dice.Uint32N(1<<20)
		r := Row{
			Device: Known(
				1,
				o,
			),
			Type:      typeUp + uint8(h.dice.IntN(2)),
			Day:       uint32(i / 2000),
			Up:        up[o],
			LogDays:   uint32(i / 4000),
			Size:      h.dice.Int64N(1 << (10 + h.dice.IntN(24))),
			Tie:       h.dice.Uint32N(2) << (h.dice.IntN(3) * 8),
			DecidedMs: beginMs + int64(i)/7<<(h.dice.IntN(2)*8),
			Down:      7,
		}
		r.Used = r.Up + r.Down
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), a.Place().Compare(b.Place()))
	})
	var all batch
	var order, again Orders
	var slow, fast block
	for i := range rows {
		order.Number(&rows[i])
		all.add(&rows[i], beginMs)
		all.rows[i].logDays = uint16(rows[i].LogDays)
	}
	for from := 0; from < len(rows); {
		slow.reset()
		fast.reset()
		i := from
		for ; i < len(rows) && slow.takes(rows[i].Device); i++ {
			slow.add(&rows[i])
		}
		for k := from; k < i; {
			n := fast.addBare(all.rows[k:i], blockRowsMax, beginMs, &again)
			if n == 0 { // A size of 2³² or more.
				again.Number(&rows[k])
				fast.add(&rows[k])
				n = 1
			}
			k += n
		}
		raw := slow.finish(nil)
		if !slices.Equal(raw, fast.finish(nil)) || fast.firstMs != slow.firstMs || fast.lastMs != slow.lastMs {
			t.Fatalf("rows %d to %d: other bytes", from, i)
		}
		var have batch
		var u unpacker
		if err := u.add(&have, slow.key(), raw, &packedReader{p: &packed{}}, beginMs); err != nil {
			t.Fatal(err)
		}
		for k := range have.rows {
			var r Row
			have.row(&r, k, beginMs)
			r.Order = rows[from+k].Order
			same(t, fmt.Sprintf("row %d", from+k), []Row{r}, rows[from+k:from+k+1])
		}
		if from += len(have.rows); from != i {
			t.Fatalf("%d rows until %d, want %d", len(have.rows), from, i)
		}
	}
}
