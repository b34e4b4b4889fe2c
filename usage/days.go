package usage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// What devices used on a day comes as closed words: a few whenever devices return on a later day, and all others from
// the scan soon after midnight. Each transaction keeps those that it brings in blocks of its own, level 0. When a day
// end says that all are there, the day's blocks are merged into packed ones that do not overlap, level 1.

// Levels of blocks of device-days.
const (
	levelOpen   = 0 // of one transaction each; they overlap
	levelMerged = 1
)

// dayKey is the key of a block: group is the transaction's last one, 0 on level 1.
func dayKey(level byte, product, day uint32, first, group uint64) []byte {
	return binary.BigEndian.AppendUint64(appendOrdinal(dayPrefix(level, product, day), first), group)
}

// dayPrefix is what the keys of a product's day begin with.
func dayPrefix(level byte, product, day uint32) []byte {
	return binary.BigEndian.AppendUint16(productDays(level, product), uint16(day))
}

func productDays(level byte, product uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(keyDevices), level), product)
}

// ordinalBytes is the size of an ordinal in a key.
const ordinalBytes = 5

func appendOrdinal(key []byte, ordinal uint64) []byte {
	return append(key, byte(ordinal>>32), byte(ordinal>>24), byte(ordinal>>16), byte(ordinal>>8), byte(ordinal))
}

func ordinalOf(b []byte) uint64 { return uint64(b[0])<<32 | uint64(binary.BigEndian.Uint32(b[1:])) }

// dayKeyBytes is the size of a block's key: space, level, product, day, first ordinal, group.
const dayKeyBytes = 1 + 1 + 4 + 2 + ordinalBytes + 8

// decodeDayKey returns what stands behind the level of a block's key.
func decodeDayKey(key []byte) (product, day uint32, first uint64, err error) {
	if len(key) != dayKeyBytes {
		return 0, 0, 0, errors.New("a block of device-days has a damaged key")
	}
	return binary.BigEndian.Uint32(key[2:]), uint32(binary.BigEndian.Uint16(key[6:])), ordinalOf(key[8:]), nil
}

func otaKey(product, month uint32, ordinal uint64, day uint32) []byte {
	key := appendOrdinal(binary.BigEndian.AppendUint16(key32(keyOTA, product), uint16(month)), ordinal)
	return binary.BigEndian.AppendUint16(key, uint16(day))
}

// voidKey is the key of a late void: its month is that of the void.
func voidKey(product, month uint32, ordinal uint64, day uint32, id []byte) []byte {
	key := appendOrdinal(binary.BigEndian.AppendUint16(key32(keyVoids, product), uint16(month)), ordinal)
	return append(binary.BigEndian.AppendUint16(key, uint16(day)), id...)
}

// monthUntilMs returns until when rows of a calendar month are kept, 0 for ever.
func monthUntilMs(month uint32, retention time.Duration) int64 {
	if retention == 0 {
		return 0
	}
	return calendar.DayEndedMs(calendar.FirstDay(month+1)-1) + retention.Milliseconds()
}

// dayOfProduct names a day of a product.
type dayOfProduct struct{ product, day uint32 }

// closedDay is a closed word, or two, of a device.
type closedDay struct {
	dayOfProduct
	views.DeviceDay
}

// days gathers rows of device-days and of OTA units by day for a transaction.
type days struct {
	closed []closedDay
	otas   map[string]uint64 // words by key
	voids  map[string][]byte // values by key
	ends   map[uint32]uint32 // the last day that is closed, by product
}

func newDays() days {
	return days{otas: map[string]uint64{}, voids: map[string][]byte{}, ends: map[uint32]uint32{}}
}

// add adds a closed word of a day behind merged; index is its place in the slot.
func (d *days) add(product uint32, index int, ordinal, word uint64, merged uint32) error {
	c := closedDay{dayOfProduct{product: product}, views.DeviceDay{Ordinal: ordinal}}
	switch index {
	case record.WordMessages:
		w := counters.MessageWord(word)
		c.day, c.Up, c.Down = w.Day(), w.Up(), w.Down()
	case record.WordDenied:
		w := counters.DeniedWord(word)
		c.day, c.Denied = w.Day(), w.Denied()
	default:
		return fmt.Errorf("word %d of device %d was closed, which counts no day", index, ordinal)
	}
	if c.day > merged { // The others were there before the merge: a word that is replaced later is logged again.
		d.closed = append(d.closed, c)
	}
	return nil
}

// ota adds an OTA word after an event. Of two of one day the larger one is the later.
func (d *days) ota(product uint32, o *record.OTA) (bytes int) {
	key := string(otaKey(product, counters.OTAWord(o.Word).Month(), o.Ordinal, o.Day))
	have, known := d.otas[key]
	d.otas[key] = max(have, o.Word)
	if known {
		return 0
	}
	return rowBytes + len(key)
}

// void adds the void of an upgrade whose month was over. Others have changed the word of their month.
func (d *days) void(product uint32, u *record.Upgrade) (bytes int) {
	month := calendar.MonthOf(u.VoidDay)
	if !u.Voided || month <= u.Month {
		return 0
	}
	var packs uint64
	for _, p := range u.Packs {
		packs += uint64(p.Units)
	}
	value := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(u.Allowance)), packs)
	key := voidKey(product, month, u.Ordinal, u.VoidDay, u.ID)
	d.voids[string(key)] = value
	return rowBytes + len(key) + len(value)
}

// entries calls put for every row. group is the last one of the transaction.
func (d *days) entries(c *dayCodec, group uint64, retention time.Duration, put func(ledger.Entry)) {
	slices.SortFunc(d.closed, func(a, b closedDay) int {
		return cmp.Or(cmp.Compare(a.product, b.product), cmp.Compare(a.day, b.day), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	var rows []views.DeviceDay
	for from := 0; from < len(d.closed); {
		at := d.closed[from].dayOfProduct
		rows = rows[:0]
		for ; from < len(d.closed) && d.closed[from].dayOfProduct == at; from++ {
			rows = append(rows, d.closed[from].DeviceDay)
		}
		for block := range slices.Chunk(joinSorted(rows), dayBlockRows) {
			put(ledger.Entry{
				Key:   dayKey(levelOpen, at.product, at.day, block[0].Ordinal, group),
				Value: c.append(nil, block), UntilMs: monthUntilMs(calendar.MonthOf(at.day), retention),
			})
		}
	}
	for key, word := range d.otas {
		put(ledger.Entry{
			Key: []byte(key), Value: binary.BigEndian.AppendUint64(nil, word),
			UntilMs: monthUntilMs(counters.OTAWord(word).Month(), retention),
		})
	}
	for key, value := range d.voids {
		month := uint32(binary.BigEndian.Uint16([]byte(key[5:])))
		put(ledger.Entry{Key: []byte(key), Value: value, UntilMs: monthUntilMs(month, retention)})
	}
}

// joinSorted joins those of rows that are of one device; rows are sorted by ordinal.
func joinSorted(rows []views.DeviceDay) []views.DeviceDay {
	n := 0
	for i := range rows {
		if n > 0 && rows[n-1].Ordinal == rows[i].Ordinal {
			joinDay(&rows[n-1], &rows[i])
			continue
		}
		rows[n] = rows[i]
		n++
	}
	return rows[:n]
}

func mergedKey(product uint32) []byte { return key32(keyMerged, product) }

// mergedThrough returns the last day of a product whose device-days are merged, 0 if none are.
func mergedThrough(r Reader, product uint32) (uint32, error) {
	value, found, err := r.Get(mergedKey(product))
	if err != nil || !found {
		return 0, err
	}
	if len(value) != 2 {
		return 0, errors.New("the last merged day of a product is damaged")
	}
	return uint32(binary.BigEndian.Uint16(value)), nil
}

// nextDay returns the first day of a product from a day on that has blocks on a level.
func nextDay(r Reader, level byte, product, from uint32) (day uint32, found bool, err error) {
	err = r.Scan(productDays(level, product), dayPrefix(level, product, from), false, func(key, _ []byte) (bool, error) {
		_, day, _, err = decodeDayKey(key)
		found = err == nil
		return false, err
	})
	return day, found, err
}

// gatherOpen returns the device-days of one day that lie on level 0, of ordinals from from on and before to: the first
// ones, at most most, and where to go on.
func gatherOpen(
	r Reader,
	c *dayCodec,
	at dayOfProduct,
	from, to uint64,
	most int,
) (rows []views.DeviceDay, next uint64, err error) {
	next = to
	settle := func() { // joins what is there, and lets go of what is too much
		slices.SortFunc(rows, func(a, b views.DeviceDay) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
		rows = joinSorted(rows)
		if len(rows) > most {
			next = rows[most].Ordinal
			rows = rows[:most]
		}
	}
	var block []views.DeviceDay
	prefix := dayPrefix(levelOpen, at.product, at.day)
	err = r.Scan(prefix, nil, false, func(key, value []byte) (bool, error) {
		_, _, first, err := decodeDayKey(key)
		if err != nil || first >= next {
			return false, err
		}
		b, err := openDayBlock(first, value)
		if err != nil || b.last < from {
			return true, err
		}
		if block, err = c.decode(block[:0], &b); err != nil {
			return false, err
		}
		for i := range block {
			if o := block[i].Ordinal; o >= from && o < next {
				rows = append(rows, block[i])
			}
		}
		if len(rows) >= 2*most {
			settle()
		}
		return true, nil
	})
	settle()
	return rows, next, err
}

// gatherMerged is gatherOpen for a day that is merged; it may return some more than most.
func gatherMerged(
	r Reader, c *dayCodec, at dayOfProduct, from, to uint64, most int,
) (rows []views.DeviceDay, next uint64, err error) {
	prefix := dayPrefix(levelMerged, at.product, at.day)
	start := prefix
	if from > 0 { // The block that holds from begins at it or before.
		behind := dayKey(levelMerged, at.product, at.day, from, 0)
		err = r.Scan(prefix, behind, true, func(key, _ []byte) (bool, error) {
			start = bytes.Clone(key)
			return false, nil
		})
		if err != nil {
			return nil, from, err
		}
	}
	next = to
	err = r.Scan(prefix, start, false, func(key, value []byte) (bool, error) {
		_, _, first, err := decodeDayKey(key)
		if err != nil || first >= to {
			return false, err
		}
		if len(rows) >= most {
			next = first
			return false, nil
		}
		b, err := openDayBlock(first, value)
		if err != nil || b.last < from {
			return true, err
		}
		if rows, err = c.decode(rows, &b); err == nil && (first < from || b.last >= to) {
			rows = slices.DeleteFunc(rows, func(d views.DeviceDay) bool { return d.Ordinal < from || d.Ordinal >= to })
		}
		return err == nil, err
	})
	return rows, next, err
}
