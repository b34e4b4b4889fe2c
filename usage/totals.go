package usage

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
)

// A product has a row of its totals for each bucket that it was used in, as they stood at the bucket's end, and one row
// more for what it has used in all. The first bucket of a day brings another row with it: the totals as the day began.
// So of months by days one row a day is read, and since rows of a month go together when the retention is over, what a
// product had used before the first row that is kept is still known, however long ago that was.

// quartersADay is how many quarters of an hour a day (UTC) has.
const quartersADay = 96

// Kinds of days.
const (
	utcDay     = 0 // days since the Unix epoch, in UTC
	productDay = 1 // days since 2020-01-01, by the calendar of the product's time zone
)

// dayBegan names the totals of a product as a day began.
type dayBegan struct {
	product uint32
	kind    byte
	day     uint32
}

func (d dayBegan) key() []byte {
	return binary.BigEndian.AppendUint16(append(key32(keyDays, d.product), d.kind), uint16(d.day))
}

func decodeDayBegan(key []byte) (d dayBegan, err error) {
	if len(key) != len(keyDays)+4+1+2 {
		return d, errors.New("totals as a day began have a damaged key")
	}
	key = key[len(keyDays):]
	return dayBegan{binary.BigEndian.Uint32(key), key[4], uint32(binary.BigEndian.Uint16(key[5:]))}, nil
}

func bucketKey(b record.Bucket) []byte {
	key := binary.BigEndian.AppendUint32(key32(keyTotals, b.Product), b.Quarter)
	return binary.BigEndian.AppendUint16(key, uint16(b.Day))
}

func decodeBucket(key []byte) (b record.Bucket, err error) {
	if len(key) != len(keyTotals)+4+4+2 {
		return b, errors.New("totals have a damaged key")
	}
	key = key[len(keyTotals):]
	b.Product, b.Quarter = binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(key[4:])
	b.Day = uint32(binary.BigEndian.Uint16(key[8:]))
	return b, nil
}

// newestBytes is the size of a newest row before its totals: quarter and day.
const newestBytes = 4 + 2

func appendNewest(dst []byte, t *record.BucketTotals) []byte {
	dst = binary.BigEndian.AppendUint32(dst, t.Quarter)
	dst = binary.BigEndian.AppendUint16(dst, uint16(t.Day))
	return t.Append(dst)
}

func decodeNewest(product uint32, value []byte) (t record.BucketTotals, err error) {
	if len(value) < newestBytes {
		return t, errors.New("the newest totals are damaged")
	}
	t.Product, t.Quarter = product, binary.BigEndian.Uint32(value)
	t.Day = uint32(binary.BigEndian.Uint16(value[4:]))
	t.Totals, err = record.DecodeTotals(value[newestBytes:])
	return t, err
}

// totals gathers rows of products' totals for a transaction.
type totals struct {
	store   Store
	newest  map[uint32]record.BucketTotals // by product; known ones that are not written are in the ledger already
	written map[uint32]bool
	buckets map[record.Bucket]record.Totals
	days    map[dayBegan][]byte // encoded; empty: they are not known
}

func newTotals(store Store) totals {
	return totals{
		store: store, newest: map[uint32]record.BucketTotals{}, written: map[uint32]bool{},
		buckets: map[record.Bucket]record.Totals{}, days: map[dayBegan][]byte{},
	}
}

// newestOf returns the newest totals of a product, also of those that are not written yet. found is false if the ledger
// has not seen the product's beginning.
func (t *totals) newestOf(product uint32) (newest record.BucketTotals, found bool, err error) {
	if newest, found = t.newest[product]; found {
		return newest, true, nil
	}
	value, found, err := t.store.Get(key32(keyNewest, product))
	if err != nil || !found {
		return newest, false, err
	}
	newest, err = decodeNewest(product, value)
	t.newest[product] = newest
	return newest, true, err
}

// put adds the totals after a bucket, and returns about how many bytes of rows that makes.
func (t *totals) put(after *record.BucketTotals) (bytes int, err error) {
	newest, found, err := t.newestOf(after.Product)
	if err != nil {
		return 0, err
	}
	begin := func(kind byte, day, before uint32) {
		if found && newest.Quarter > 0 && before >= day {
			return
		}
		var sum []byte
		if found {
			sum = newest.Append(nil)
		}
		t.days[dayBegan{after.Product, kind, day}] = sum
		bytes += totalsRowBytes
	}
	begin(utcDay, after.Quarter/quartersADay, newest.Quarter/quartersADay)
	begin(productDay, after.Day, newest.Day)
	if _, known := t.buckets[after.Bucket]; !known {
		bytes += 2 * totalsRowBytes
	}
	t.buckets[after.Bucket] = after.Totals
	t.newest[after.Product], t.written[after.Product] = *after, true
	return bytes, nil
}

// created adds the row of a product that a change has created: it has used nothing.
func (t *totals) created(ch *license.Change) (bytes int, err error) {
	product := ch.CreatedProduct()
	if product == 0 {
		return 0, nil
	}
	_, found, err := t.newestOf(product)
	if err != nil || found { // The change is applied once more.
		return 0, err
	}
	t.newest[product], t.written[product] = record.BucketTotals{Bucket: record.Bucket{Product: product}}, true
	return totalsRowBytes, nil
}

// entries calls put for every row. A product's newest row comes last: after a crash between the transactions of one
// group the rows before it are made again from the newest row that was there.
func (t *totals) entries(retention time.Duration, put func(ledger.Entry)) {
	until := func(day uint32) int64 { // Since the Unix epoch: to the end of its month, and the retention.
		if retention == 0 {
			return 0
		}
		y, m, _ := time.Unix(int64(day)*86_400, 0).UTC().Date()
		return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() + retention.Milliseconds()
	}
	for b, sum := range t.buckets {
		put(ledger.Entry{Key: bucketKey(b), Value: sum.Append(nil), UntilMs: until(b.Quarter / quartersADay)})
	}
	for d, sum := range t.days {
		e := ledger.Entry{Key: d.key(), Value: sum}
		if d.kind == utcDay {
			e.UntilMs = until(d.day)
		} else if retention > 0 {
			// A month of the product's time zone may end a day later than in UTC.
			e.UntilMs = calendar.DayEndedMs(calendar.FirstDay(calendar.MonthOf(d.day)+1)-1) + retention.Milliseconds()
		}
		put(e)
	}
	for product := range t.written {
		newest := t.newest[product]
		put(ledger.Entry{Key: key32(keyNewest, product), Value: appendNewest(nil, &newest)})
	}
}
