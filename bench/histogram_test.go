package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHistogramAgainstSort compares quantiles with those of the sorted durations themselves: never below, at most a
// 64th above.
func TestHistogramAgainstSort(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	shapes := map[string]func() uint64{
		"uniform":     func() uint64 { return random.Uint64N(5_000_000) },
		"exponential": func() uint64 { return uint64(random.ExpFloat64() * 1e6) },
		"wide":        func() uint64 { return 1 << random.IntN(40) },
		"small":       func() uint64 { return random.Uint64N(200) },
		"one":         func() uint64 { return 123_456_789 },
	}
	for name, draw := range shapes {
		t.Run(name, func(t *testing.T) {
			var whole, half histogram
			var all []uint64
			for i := range 10_000 {
				ns := draw()
				all = append(all, ns)
				if i%2 == 0 {
					whole.observe(time.Duration(ns))
				} else {
					half.observe(time.Duration(ns))
				}
			}
			whole.merge(&half)
			slices.Sort(all)
			for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1} {
				rank := max(1, int(q*float64(len(all))))
				exact := all[rank-1]
				got := uint64(whole.quantile(q))
				if got < exact || got > exact+exact/64 {
					t.Errorf("quantile %v: %d, sorted %d", q, got, exact)
				}
			}
			if got := uint64(whole.quantile(1)); got != all[len(all)-1] {
				t.Errorf("the longest: %d, sorted %d", got, all[len(all)-1])
			}
			var sum uint64
			for _, ns := range all {
				sum += ns
			}
			if got, want := uint64(whole.mean()), sum/uint64(len(all)); got != want {
				t.Errorf("mean: %d, want %d", got, want)
			}
		})
	}
}

// TestHistogramBuckets holds that buckets follow each other without gap or overlap, from 0 to the last.
func TestHistogramBuckets(t *testing.T) {
	from := uint64(0)
	for bucket := range histogramBuckets {
		top := bucketTop(bucket)
		if bucketOf(from) != bucket || bucketOf(top) != bucket {
			t.Fatalf(
				"bucket %d should hold %d to %d, they fall into %d and %d",
				bucket,
				from,
				top,
				bucketOf(from),
				bucketOf(top),
			)
		}
		if width := top - from; width > from/64 {
			t.Fatalf("bucket %d from %d is %d wide", bucket, from, width+1)
		}
		from = top + 1
	}
	if bucketOf(^uint64(0)) != histogramBuckets-1 {
		t.Fatalf("the longest duration falls into %d", bucketOf(^uint64(0)))
	}
}

func TestHistogramBeyondItsRange(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 || h.mean() != 0 {
		t.Fatal("an empty histogram must say zero")
	}
	h.observe(-time.Second)
	h.observe(time.Hour)
	h.observe(2 * time.Hour)
	if got := h.quantile(0); got != 0 {
		t.Errorf("a negative duration counts as %s", got)
	}
	if got := h.quantile(0.9); got != 2*time.Hour {
		t.Errorf("beyond the range the longest stands: %s", got)
	}
}

func TestHistogramAllocatesNothing(t *testing.T) {
	var h histogram
	ns := time.Duration(1)
	if n := testing.AllocsPerRun(1000, func() { h.observe(ns); ns = ns*3 + 1 }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkHistogram(b *testing.B) {
	var h histogram
	b.ReportAllocs()
	for i := range b.N {
		h.observe(time.Duration(i) * 37)
	}
}
