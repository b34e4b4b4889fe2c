package usage

import "github.com/meterd/meterd/shard/record"

// Quarters calls fn for what a product had used at the end of every quarter of an hour, from one on, in which it used
// anything, ascending, until fn returns false. A quarter in which two of the product's days meet comes twice. fn may
// keep the totals.
func (r *Rows) Quarters(product, from uint32, fn func(quarter uint32, sum *record.Totals) (more bool)) error {
	start := bucketKey(record.Bucket{Product: product, Quarter: from})
	return r.r.Scan(key32(keyTotals, product), start, false, func(k, v []byte) (bool, error) {
		at, err := decodeBucket(k)
		if err != nil {
			return false, err
		}
		sum, err := record.DecodeTotals(v)
		if err != nil {
			return false, err
		}
		return fn(at.Quarter, &sum), nil
	})
}
