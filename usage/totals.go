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
// more for what it has used in all. The first bucket of a calendar month (UTC) brings another row with it: the totals
// as the month began, monthBegan in the last quarter of the month before. Rows of a month go together when the
// retention is over, so of a product that is used again after years the row before is still there.

// monthBegan is the day of such a row: behind every day that a bucket can have.
const monthBegan = 1<<16 - 1

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
}

func newTotals(store Store) totals {
	return totals{
		store: store, newest: map[uint32]record.BucketTotals{}, written: map[uint32]bool{},
		buckets: map[record.Bucket]record.Totals{},
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
	if month := monthOf(after.Quarter); found && monthOf(newest.Quarter) < month {
		t.buckets[record.Bucket{Product: after.Product, Quarter: firstQuarter(month) - 1, Day: monthBegan}] = newest.Totals
		bytes += totalsRowBytes
	}
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
// group the rows of buckets are made again from the newest row before it.
func (t *totals) entries(retention time.Duration, put func(ledger.Entry)) {
	for b, sum := range t.buckets {
		month := monthOf(b.Quarter)
		if b.Day == monthBegan {
			month++
		}
		e := ledger.Entry{Key: bucketKey(b), Value: sum.Append(nil)}
		if retention > 0 {
			e.UntilMs = int64(firstQuarter(month+1))*record.QuarterMs + retention.Milliseconds()
		}
		put(e)
	}
	for product := range t.written {
		newest := t.newest[product]
		put(ledger.Entry{Key: key32(keyNewest, product), Value: appendNewest(nil, &newest)})
	}
}

// monthOf returns the calendar month (UTC) of a quarter of an hour, counted from January of year 0.
func monthOf(quarter uint32) int {
	y, m, _ := time.UnixMilli(int64(quarter) * record.QuarterMs).UTC().Date()
	return y*12 + int(m) - 1
}

// firstQuarter returns the first quarter of an hour of a month.
func firstQuarter(month int) uint32 {
	return uint32(time.Date(0, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC).UnixMilli() / record.QuarterMs)
}

// Totals returns what a product has used in all, and the bucket of its last event.
func (r *Rows) Totals(product uint32) (record.BucketTotals, error) {
	value, found, err := r.r.Get(key32(keyNewest, product))
	if err != nil || !found {
		return record.BucketTotals{Bucket: record.Bucket{Product: product}}, err
	}
	return decodeNewest(product, value)
}

// TotalsBefore returns what a product had used before a quarter of an hour. If that is not known any more, the totals
// are those before quarter from, the first one for which they are; else from is quarter.
func (r *Rows) TotalsBefore(product, quarter uint32) (sum record.Totals, from uint32, err error) {
	return r.before(record.Bucket{Product: product, Quarter: quarter})
}

// TotalsBeforeDay returns what a product had used before a calendar day of its time zone. from is the quarter of an
// hour in which that day begins, or a later one, as TotalsBefore has it.
func (r *Rows) TotalsBeforeDay(product uint32, zone *time.Location, day uint32) (
	sum record.Totals, from uint32, err error,
) {
	quarter := uint32(calendar.DayStartMs(day, zone) / record.QuarterMs)
	return r.before(record.Bucket{Product: product, Quarter: quarter, Day: day})
}

// before returns the totals before a bucket.
func (r *Rows) before(b record.Bucket) (sum record.Totals, from uint32, err error) {
	for {
		at, next, found, err := r.behind(b)
		switch {
		case err != nil:
			return sum, 0, err
		case found && at.Day == monthBegan:
			return next, b.Quarter, nil // Nothing lies between, and this is what came before.
		case found:
			if sum, found, err = r.ahead(b); err != nil || found {
				return sum, b.Quarter, err
			}
			b = record.Bucket{Product: b.Product, Quarter: at.Quarter + 1}
			continue
		}
		newest, err := r.Totals(b.Product)
		if err != nil || newest.Compare(b) < 0 {
			return newest.Totals, b.Quarter, err
		}
		// It was used since the ledger was searched: search again.
	}
}

// behind returns the first row at or behind b.
func (r *Rows) behind(b record.Bucket) (at record.Bucket, sum record.Totals, found bool, err error) {
	err = r.r.Scan(key32(keyTotals, b.Product), bucketKey(b), false, func(k, v []byte) (bool, error) {
		if at, err = decodeBucket(k); err != nil {
			return false, err
		}
		found = true
		sum, err = record.DecodeTotals(v)
		return false, err
	})
	return at, sum, found, err
}

// ahead returns the last row before b.
func (r *Rows) ahead(b record.Bucket) (sum record.Totals, found bool, err error) {
	if b.Day--; b.Day > monthBegan {
		b.Quarter, b.Day = b.Quarter-1, monthBegan
	}
	err = r.r.Scan(key32(keyTotals, b.Product), bucketKey(b), true, func(_, v []byte) (bool, error) {
		found = true
		sum, err = record.DecodeTotals(v)
		return false, err
	})
	return sum, found, err
}
