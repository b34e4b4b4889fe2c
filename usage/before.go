package usage

import (
	"math"

	"github.com/meterd/meterd/shard/record"
)

// Totals returns what a product has used in all, and the bucket of its last event.
func (r *Rows) Totals(product uint32) (record.BucketTotals, error) {
	value, found, err := r.r.Get(key32(keyNewest, product))
	if err != nil || !found {
		return record.BucketTotals{Bucket: record.Bucket{Product: product}}, err
	}
	return decodeNewest(product, value)
}

// TotalsBefore returns what a product had used before a quarter of an hour. If that is not known, since the ledger does
// not reach back to the product's beginning or all of the product's rows are deleted, the totals are those before
// quarter from, the first one for which they are; else from is quarter.
func (r *Rows) TotalsBefore(product, quarter uint32) (sum record.Totals, from uint32, err error) {
	for missed := false; ; {
		began := dayBegan{product, utcDay, quarter / quartersADay}
		at, sum, found, err := r.lastBefore(product, quarter)
		if err != nil || (found && at.Quarter >= began.day*quartersADay) {
			return sum, quarter, err
		}
		if at, found, err = r.sinceDay(began, &sum); err != nil {
			return sum, 0, err
		}
		switch {
		case found && at.Quarter == 0:
			return sum, quarter, nil
		case found && at.Quarter >= quarter:
			quarter = at.Quarter + 1
			continue
		}
		newest, err := r.Totals(product)
		if err != nil || newest.Quarter < quarter {
			return newest.Totals, quarter, err
		}
		if found || missed { // The rows behind the quarter are deleted.
			return newest.Totals, newest.Quarter + 1, nil
		}
		missed = true // It was used since the ledger was searched, or its rows are deleted: search once more.
	}
}

// TotalsBeforeDay returns what a product had used before a calendar day of its time zone. from is 0, or the quarter of
// an hour before which the totals are known, if those before the day are not.
func (r *Rows) TotalsBeforeDay(product, day uint32) (sum record.Totals, from uint32, err error) {
	for missed := false; ; missed = true {
		at, found, err := r.sinceDay(dayBegan{product, productDay, day}, &sum)
		switch {
		case err != nil:
			return sum, 0, err
		case found && at.Quarter == 0:
			return sum, 0, nil
		case found:
			return r.TotalsBefore(product, at.Quarter+1)
		}
		newest, err := r.Totals(product)
		if err != nil || newest.Day < day {
			return newest.Totals, 0, err
		}
		if missed { // As in TotalsBefore.
			return newest.Totals, newest.Quarter + 1, nil
		}
	}
}

// sinceDay sets sum to the totals as the first day began, from began on, that a product was used on: nothing was used
// in between. If they are not known it returns the first bucket of the product instead, whose quarter is not 0.
func (r *Rows) sinceDay(began dayBegan, sum *record.Totals) (first record.Bucket, found bool, err error) {
	unknown := false
	err = r.eachDay(began, func(_ uint32, value []byte) (bool, error) {
		if found, unknown = true, len(value) == 0; unknown {
			return false, nil
		}
		*sum, err = record.DecodeTotals(value)
		return false, err
	})
	if err != nil || !unknown {
		return first, found, err
	}
	err = r.r.Scan(key32(keyTotals, began.product), nil, false, func(k, _ []byte) (bool, error) {
		first, err = decodeBucket(k)
		return false, err
	})
	if err == nil && first.Quarter == 0 { // Its months are over.
		var newest record.BucketTotals
		newest, err = r.Totals(began.product)
		first = newest.Bucket
	}
	return first, true, err
}

// eachDay calls fn for the days of a kind that a product was used on, from one on, each with its encoded totals, which
// are empty if they are not known.
func (r *Rows) eachDay(from dayBegan, fn func(day uint32, value []byte) (more bool, err error)) error {
	prefix := append(key32(keyDays, from.product), from.kind)
	return r.r.Scan(prefix, from.key(), false, func(k, v []byte) (bool, error) {
		d, err := decodeDayBegan(k)
		if err != nil {
			return false, err
		}
		return fn(d.day, v)
	})
}

// lastBefore returns the last row of a product's buckets before a quarter of an hour.
func (r *Rows) lastBefore(product, quarter uint32) (at record.Bucket, sum record.Totals, found bool, err error) {
	if quarter == 0 {
		return at, sum, false, nil
	}
	start := bucketKey(record.Bucket{Product: product, Quarter: quarter - 1, Day: math.MaxUint16})
	err = r.r.Scan(key32(keyTotals, product), start, true, func(k, v []byte) (bool, error) {
		if at, err = decodeBucket(k); err != nil {
			return false, err
		}
		found = true
		sum, err = record.DecodeTotals(v)
		return false, err
	})
	return at, sum, found, err
}
