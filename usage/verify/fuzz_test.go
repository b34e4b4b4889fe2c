package verify

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meterd/meterd/shard/record"
)

// seedChunk is a chunk of every kind of row and effect.
func seedChunk() []byte {
	var b record.Builder
	b.BindDevice(record.Device{Ordinal: 5, Product: 1, Name: []byte("d")})
	b.BeginBatch(1_795_428_000_000, 3)
	b.Message(typeUp, 5, 100, 2518, 1, 0)
	b.Attach(&record.Extras{
		Topic: []byte("topic"), Payload: []byte("payload"), IsCut: true, TimeMs: 1_795_428_000_001,
	})
	b.DeniedMessage(typeDown, 5, 100, record.QuotaNumbers{Limit: 1, Used: 1, ResetsAtMs: 1_795_478_400_000}, 2518, 7)
	b.DeniedUpgrade(typeOTA, 5, 1, 1, record.QuotaNumbers{Limit: 3, Used: 2, ResetsAtMs: 1_796_083_200_000})
	b.Attach(&record.Extras{Requested: 300, TopupAvailable: 2})
	b.Message(typeUp, 5, 100, 2518, 8, 1)
	b.Attach(&record.Extras{WouldDeny: codeMessageQuota, Quota: record.QuotaNumbers{Limit: 1, Used: 9}, DayUsed: 9})
	b.Stranger(1, 3, 1, []byte("who"), 0)
	b.Other(typeOTA, 5, 1, 1)
	b.Attach(&record.Extras{ID: []byte("id")})
	b.Grant(record.Grant{Ordinal: 5, License: 1 << 45, ActivationS: 9, Pool: 1, PoolDrawn: 1, Serial: 1})
	b.OTA(record.OTA{Ordinal: 5, Word: 1 << 54, Day: 2518})
	b.Upgrade(
		record.Upgrade{Ordinal: 5, ID: []byte("id"), Size: 1, Month: 82, Packs: []record.PackUnits{{Pool: 1, Units: 2}}},
	)
	b.Pool(record.Pool{ID: 1, Drawn: 2})
	b.Closed(2, 5, 2517<<dayShift|1)
	b.End(record.End{Ordinal: 5, Serial: 1, EndedS: 9, How: 1})
	b.DayEnd(record.DayEnd{Product: 1, Day: 2517})
	return b.Finish(nil)
}

// FuzzChunk: whatever the bytes, nothing panics or is read outside of them; what the writer writes is read.
func FuzzChunk(f *testing.F) {
	f.Add(seedChunk())
	f.Fuzz(func(_ *testing.T, raw []byte) {
		c, err := decodeChunk(raw)
		if err != nil {
			return
		}
		rows, err := c.appendRows(nil)
		if err == nil && len(rows) != c.count {
			panic("another number of rows")
		}
		_, _ = c.appendBindings(nil)
		var e effects
		_ = e.decode(c.cols[colEffects])
	})
}

// TestChunk: every field of what the daemon's codec writes is read as it was written.
func TestChunk(t *testing.T) {
	c, err := decodeChunk(seedChunk())
	must(t, err)
	rows, err := c.appendRows(nil)
	must(t, err)
	bindings, err := c.appendBindings(nil)
	must(t, err)
	var e effects
	must(t, e.decode(c.cols[colEffects]))
	var words []string
	for _, r := range rows {
		words = append(words, fmt.Sprintf("%d %d %x %d %d %s", r.kind&^kindExtra, r.code, r.word, r.size, r.product, r.id))
	}
	want := []string{
		fmt.Sprintf("67 0 %x 100 0 ", 2518<<dayShift|1<<upShift), fmt.Sprintf("140 1 %x 100 0 ", 2518<<dayShift|7),
		"13 2 0 1 0 ", fmt.Sprintf("3 0 %x 100 0 ", 2518<<dayShift|8<<upShift|1), "25 3 0 0 1 ", "5 0 0 1 0 id",
	}
	if !slices.Equal(words, want) || rows[5].ordinal != 5 || rows[5].ms != 1_795_428_000_000 {
		t.Errorf("rows %q, want %q", words, want)
	}
	if rows[2].requested != 300 || rows[2].available != 2 || rows[3].would != codeMessageQuota {
		t.Errorf("%+v, %+v", rows[2], rows[3])
	}
	if len(bindings) != 1 || bindings[0].ordinal != 5 || string(bindings[0].name) != "d" {
		t.Errorf("bindings %+v", bindings)
	}
	if len(e.grants) != 1 || e.grants[0].serial != 1 || len(e.otas) != 2 || e.otas[0].day != 2518 ||
		e.otas[1].upgrade.packUnits() != 2 || len(e.pools) != 1 || len(e.closed) != 1 || len(e.ends) != 1 ||
		len(e.dayEnds) != 1 || e.dayEnds[0].day != 2517 {
		t.Errorf("effects %+v", e)
	}
}

func FuzzHead(f *testing.F) {
	h := record.Head{SerialLast: 7, Totals: []record.BucketTotals{{Bucket: record.Bucket{Product: 1, Quarter: 2, Day: 3}}}}
	h.Totals[0].Deny(typeUp, codeMessageQuota, 4)
	h.Totals[0].Observe(typeDown, codeMessageQuota, 5)
	h.Changes = [][]byte{{1, 2}}
	f.Add(h.Append(nil))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = decodeHead(b) })
}

func FuzzChange(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x00\x00\x0eproduct.create\x01t\x01p\x02{}\x01\x05P\x00\x00\x00\x01\x02{}"))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = newCatalogue().change(b) })
}

func FuzzLicenses(f *testing.F) {
	f.Add([]byte("\x01\x01\x02\x03\x01\x01d"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = decodeLicenses(b) })
}

func FuzzDays(f *testing.F) {
	f.Add(uint64(5), []byte("\x01\x01\x00\x00\x01\x01\x07\x00\x00"))
	f.Fuzz(func(t *testing.T, first uint64, b []byte) {
		d, err := newDayDecoder()
		must(t, err)
		_, _ = d.decode(first, b)
		_, _, _, _ = decodeDayKey(b)
	})
}

func FuzzImage(f *testing.F) {
	b := make([]byte, imageHeadBytes+imageSlotBytes+24)
	b[0], b[8], b[16] = 1, 1, 24
	b[imageHeadBytes+imageSlotBytes+16], b[imageHeadBytes+imageSlotBytes+17] = 1, 'd'
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		if img, err := decodeImage(b); err == nil {
			_ = img.each(func(*slot) error { return nil })
		}
		_ = eachRecord(b, func(_, _ []byte) error { return nil })
	})
}

func FuzzTotals(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08\x01\x03\x01\x09"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var t totals
		in := input{b: b}
		t.decode(&in)
		_ = in.done()
		var u upgrade
		in = input{b: b}
		u.decode(&in)
	})
}
