package bench

import (
	"math/bits"
	"time"
)

const (
	// histogramBits gives 64 buckets a power of two: a bucket is at most 1/64 of its value wide.
	histogramBits = 6
	// histogramExponents covers 2⁴⁰ ns, which is 18 minutes; what takes longer falls into the last bucket.
	histogramExponents = 40 - histogramBits
	histogramBuckets   = (histogramExponents + 1) << histogramBits
)

// histogram counts durations in buckets that are linear below 64 ns and logarithmic above. Observing allocates nothing.
// The zero value is ready; it is not safe for concurrent use.
type histogram struct {
	counts [histogramBuckets]uint64
	count  uint64
	sumNs  uint64
	maxNs  uint64
}

// bucketOf returns the bucket of a duration.
func bucketOf(ns uint64) int {
	exponent := max(bits.Len64(ns)-histogramBits-1, 0)
	return min(exponent<<histogramBits+int(ns>>exponent), histogramBuckets-1)
}

// bucketTop returns the longest duration that falls into a bucket.
func bucketTop(bucket int) uint64 {
	exponent := max(bucket>>histogramBits-1, 0)
	mantissa := uint64(bucket - exponent<<histogramBits)
	return (mantissa+1)<<exponent - 1
}

func (h *histogram) observe(d time.Duration) {
	ns := uint64(max(d, 0))
	h.counts[bucketOf(ns)]++
	h.count++
	h.sumNs += ns
	h.maxNs = max(h.maxNs, ns)
}

// merge adds what other saw.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.count += other.count
	h.sumNs += other.sumNs
	h.maxNs = max(h.maxNs, other.maxNs)
}

// quantile returns a duration that at least the fraction q of all stayed within: the top of its bucket, and never more
// than the longest.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	if float64(rank) < q*float64(h.count) || rank == 0 {
		rank++
	}
	var seen uint64
	for bucket, n := range &h.counts {
		if seen += n; seen >= rank && n > 0 {
			if bucket == histogramBuckets-1 {
				break
			}
			return time.Duration(min(bucketTop(bucket), h.maxNs))
		}
	}
	return time.Duration(h.maxNs)
}

func (h *histogram) mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sumNs / h.count)
}
