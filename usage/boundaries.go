package usage

import (
	"github.com/meterd/meterd/shard/record"
)

// TotalsAt sets sums, which is as long as at, to what a product had used before each of some instants. These are
// buckets of the product, ascending: Quarter begins at the instant, and so does Day, by the calendar of the product's
// time zone; Day is 0 if none does. If the totals before the first ones are not known they are set to those before
// quarter from, the first one for which they are; else from is 0. Sums may share memory: they are for reading.
//
// Midnights are read from rows of days, in one pass; so are instants that lie close together from rows of buckets. Each
// other one takes a search. What was found for them is remembered, for the next call.
func (r *Rows) TotalsAt(at []record.Bucket, sums []record.Totals) (from uint32, err error) {
	if len(at) == 0 {
		return 0, nil
	}
	b := boundaries{r: r, product: at[0].Product, at: at, sums: sums}
	newest, err := r.Totals(b.product)
	if err != nil {
		return 0, err
	}
	var utc, own, rest []int
	for i := range at {
		switch {
		case at[i].Quarter > newest.Quarter: // It has not been used since.
			b.set(i, newest.Totals)
		case at[i].Quarter%quartersADay == 0:
			utc = append(utc, i)
		case at[i].Day > 0:
			own = append(own, i)
		default:
			rest = append(rest, i)
		}
	}
	if err := b.days(utcDay, utc); err != nil {
		return 0, err
	}
	if err := b.days(productDay, own); err != nil {
		return 0, err
	}
	rest = r.ended.find(&b, rest)
	if err := b.quarters(rest); err != nil {
		return 0, err
	}
	for i := range at { // Those that rows do not answer in passing.
		if !b.known(i) {
			if err := b.search(i); err != nil {
				return 0, err
			}
		}
	}
	r.ended.add(&b, rest)
	for i := range at {
		if at[i].Quarter < b.from {
			sums[i] = b.sum
		}
	}
	return b.from, nil
}

// boundaries is one call of TotalsAt.
type boundaries struct {
	r       *Rows
	product uint32
	at      []record.Bucket
	sums    []record.Totals
	found   []bool
	from    uint32        // 0: everything is known
	sum     record.Totals // before from
}

func (b *boundaries) known(i int) bool { return b.found != nil && b.found[i] }

func (b *boundaries) set(i int, sum record.Totals) {
	if b.found == nil {
		b.found = make([]bool, len(b.at))
	}
	b.sums[i], b.found[i] = sum, true
}

func (b *boundaries) search(i int) error {
	sum, from, err := b.r.TotalsBefore(b.product, b.at[i].Quarter)
	if from > b.at[i].Quarter {
		b.from, b.sum = from, sum // They are the same for all that are not known.
	}
	b.set(i, sum)
	return err
}

// days answers midnights from the rows of days, as far as they know.
func (b *boundaries) days(kind byte, which []int) error {
	if len(which) == 0 {
		return nil
	}
	day := func(bucket record.Bucket) uint32 {
		if kind == utcDay {
			return bucket.Quarter / quartersADay
		}
		return bucket.Day
	}
	return b.r.eachDay(dayBegan{b.product, kind, day(b.at[which[0]])}, func(used uint32, value []byte) (bool, error) {
		var sum record.Totals
		decoded := len(value) == 0 // Not known: these are searched for.
		for ; len(which) > 0 && day(b.at[which[0]]) <= used; which = which[1:] {
			if !decoded {
				var err error
				if sum, err = record.DecodeTotals(value); err != nil {
					return false, err
				}
				decoded = true
			}
			if len(value) > 0 {
				b.set(which[0], sum)
			}
		}
		return len(which) > 0, nil
	})
}

// quarters answers instants that lie close together from the rows of buckets between them.
func (b *boundaries) quarters(which []int) error {
	if len(which) < 2 {
		return nil
	}
	first, last := b.at[which[0]].Quarter, b.at[which[len(which)-1]].Quarter
	if last-first > uint32(len(which))*quartersADay {
		return nil
	}
	if err := b.search(which[0]); err != nil {
		return err
	}
	sum := b.sums[which[0]]
	value := []byte(nil) // of the last row, not decoded yet
	next := which[1:]
	answer := func(before uint32) (err error) {
		for ; len(next) > 0 && b.at[next[0]].Quarter <= before; next = next[1:] {
			if len(value) > 0 {
				if sum, err = record.DecodeTotals(value); err != nil {
					return err
				}
				value = value[:0]
			}
			b.set(next[0], sum)
		}
		return nil
	}
	start := bucketKey(record.Bucket{Product: b.product, Quarter: first})
	err := b.r.r.Scan(key32(keyTotals, b.product), start, false, func(k, v []byte) (bool, error) {
		bucket, err := decodeBucket(k)
		if err == nil {
			err = answer(bucket.Quarter)
		}
		value = append(value[:0], v...)
		return len(next) > 0, err
	})
	if err != nil {
		return err
	}
	return answer(last)
}
