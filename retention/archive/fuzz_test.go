package archive

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// blockOfHistory returns a raw block of random rows, in order.
func blockOfHistory(seed uint64) (entryKey, []byte, []Row) {
	h := newHistory(seed, 5)
	var m Memory
	h.next(300, time.Second)
	for i := range h.rows {
		m.add(&h.rows[i], h.rows[0].DecidedMs, nil)
	}
	b := m.ordered(&m.batches[0], productOf)
	m.batches[0] = b
	var block block
	var rows []Row
	var order Orders
	_ = m.each(func(b *batch) error {
		for i := range b.rows {
			var r Row
			b.row(&r, i, m.baseMs)
			for _, t := range []*[]byte{&r.Name, &r.ID, &r.Topic, &r.Payload} {
				*t = clone(*t)
			}
			order.Number(&r)
			if !block.takes(r.Device) {
				return errCrash
			}
			block.add(&r)
			rows = append(rows, r)
		}
		return nil
	})
	return entryKey{rows[0].Device, rows[0].Place()}, block.finish(nil), rows
}

// FuzzBlock: whatever bytes come, reading returns an error or rows and stays inside of them; what was written comes
// back.
func FuzzBlock(f *testing.F) {
	for seed := range uint64(4) {
		key, raw, rows := blockOfHistory(seed)
		var b blockReader
		if err := b.open(key, raw); err != nil {
			f.Fatal(err)
		}
		for i := range rows {
			if !b.next() {
				f.Fatal(i, b.err)
			}
			want := rows[i]
			if b.size != len(want.Payload) {
				f.Fatalf("row %d: a payload of %d bytes, want %d", i, b.size, len(want.Payload))
			}
			want.Payload = nil
			if have, want := fmt.Sprintf("%+v", b.row), fmt.Sprintf("%+v", want); have != want {
				f.Fatalf("row %d:\n have %s\n want %s", i, have, want)
			}
		}
		if b.next() || b.err != nil {
			f.Fatal("too many rows", b.err)
		}
		f.Add(raw)
	}
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b blockReader
		if err := b.open(entryKey{device: Known(1, 1)}, raw); err != nil {
			return
		}
		n := 0
		var rows []Row
		for b.next() {
			if n++; n > blockRowsMax {
				t.Fatal("too many rows")
			}
			b.row.Order = 0
			rows = append(rows, b.row)
		}
		// A block of bare rows is read column by column, with the same result.
		var u unpacker
		var bare batch
		if err := u.block.open(entryKey{device: Known(1, 1)}, raw); err != nil || !u.addBare(&bare, 0) {
			return
		}
		if b.err != nil || len(bare.rows) != n {
			t.Fatalf("%d rows column by column, %d row by row: %v", len(bare.rows), n, b.err)
		}
		for i := range bare.rows {
			var r Row
			bare.row(&r, i, 0)
			same(t, "a bare row", []Row{r}, rows[i:i+1])
		}
	})
}

// FuzzStored: what is stored comes back, and nothing else is inflated beyond its bound.
func FuzzStored(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.seal(nil, bytes.Repeat([]byte("meterd"), 1000)))
	f.Add(c.seal(nil, []byte{1, 2, 3}))
	f.Add([]byte{blockVersion, 7})
	f.Fuzz(func(t *testing.T, stored []byte) {
		raw, err := c.unseal(nil, stored)
		if err != nil {
			return
		}
		if again, err := c.unseal(nil, c.seal(nil, raw)); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%d bytes come back as %d: %v", len(raw), len(again), err)
		}
	})
}

// FuzzManifest: whatever bytes come, decoding returns an error or a manifest that is encoded again as it was read.
func FuzzManifest(f *testing.F) {
	m := &manifest{
		position: Position{Seq: 9, Chain: chainOf(9)}, positionMs: 5, ties: Ties{Ms: 5, First: 9}, availableFrom: 3, next: 4,
		logDays: map[uint32]uint32{1: 7, 300: 1},
		directories: []directory{
			{number: 1, level: levelRun, span: 2, rows: 3, entries: 1, bytes: 4, days: []dayRows{{0, 1}, {7, 2}}},
			{number: 3, level: levelSpan, logDays: 7, firstMs: 1, lastMs: 2, erased: 12, rewrittenMs: 13, sum: Sum{1, 2}},
		},
		logErased: 11, logErasedMs: 12, retentionMs: 14, removedTo: 2,
	}
	f.Add(m.append(nil))
	f.Add((&manifest{next: 1}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		again, err := decodeManifest(m.append(nil))
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", m) {
			t.Fatalf("%+v comes back as %+v: %v", m, again, err)
		}
	})
}

// FuzzKey: a key comes back as it was.
func FuzzKey(f *testing.F) {
	f.Add(entryKey{Known(1, 2), Place{3, 4}}.append(nil, spaceRows))
	f.Add([]byte("E"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, space, err := decodeKey(b)
		if err == nil && !bytes.Equal(k.append(nil, space), b) {
			t.Fatalf("%x comes back as %x", b, k.append(nil, space))
		}
	})
}

// FuzzNewest: whatever bytes come, newest rows are rows and payloads inside of them, or an error.
func FuzzNewest(f *testing.F) {
	_, raw, _ := blockOfHistory(3)
	f.Add(append([]byte{byte(len(raw)&127 | 128), byte(len(raw) >> 7)}, append(raw, "payloads"...)...))
	f.Add([]byte{200, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, payloads, err := splitNewest(b)
		if err == nil && !bytes.HasSuffix(b, append(bytes.Clone(rows), payloads...)) {
			t.Fatalf("%d and %d bytes of %d", len(rows), len(payloads), len(b))
		}
		c, err := newCodec()
		if err != nil {
			t.Fatal(err)
		}
		s := Store{codec: c}
		x := blockOf{entryKey{device: Known(1, 1)}, c.seal(nil, b)}
		_ = s.readNewest(&x, func(r *Row) {
			if len(r.Payload) > len(b) {
				t.Fatal("a payload from elsewhere")
			}
		})
	})
}

// FuzzFrame: the head of sorted rows comes back as it was, and names no more than a block has.
func FuzzFrame(f *testing.F) {
	h := frame{entryKey{Known(1, 2), Place{3, 4}}, 5, 6, 7}
	f.Add(h.append(nil))
	f.Add([]byte("frame"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeFrame(b)
		if err == nil && (!bytes.Equal(h.append(nil), b) || h.rows > rowsBytesMax || h.payloads > 2*payloadBytesMax) {
			t.Fatalf("%x comes back as %x", b, h.append(nil))
		}
	})
}
