package history

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// busySource has many products that are all used in every quarter of an hour.
type busySource struct{ products []Product }

func (s *busySource) Now() ([]Product, int64, error) { return s.products, time.Now().UnixMilli(), nil }
func (s *busySource) Settle() error                  { return nil }

func (s *busySource) usage(product, number uint32) Usage {
	n := uint64(number - epoch + 40_000)
	return Usage{Up: n * uint64(100+product%17), Down: n * 10, Licenses: n / 96}
}

func (s *busySource) Before(product, number uint32) (Usage, error) {
	return s.usage(product, number), nil
}

func (s *busySource) Quarters(product, from uint32, fn func(uint32, *Usage) bool) error {
	for number := from; ; number++ {
		if u := s.usage(product, number+1); !fn(number, &u) {
			return nil
		}
	}
}

// BenchmarkRange fills a store with 13 months of 1000 products, and asks what a dashboard asks. It takes minutes, and
// runs only when METERD_BENCH_HISTORY says of how many products.
func BenchmarkRange(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("METERD_BENCH_HISTORY"))
	if err != nil || testing.Short() {
		b.Skip("METERD_BENCH_HISTORY=1000 fills a store for minutes")
	}
	h := startStores(b, b.TempDir())
	source := &busySource{}
	for i := range n {
		source.products = append(source.products, Product{ID: uint32(i), Account: "a", Name: fmt.Sprint("p", i)})
	}
	t := h.tiers[1]
	t.products, t.known = source.products, true
	now := uint32(time.Now().UnixMilli() / quarter.Milliseconds())
	began := time.Now()
	for more := true; more; {
		more, err = t.fill(b.Context(), source, now)
		must(b, err)
	}
	b.Logf("%d products: %d samples were filled in in %v", n, t.samples.Load(), time.Since(began))
	for _, query := range []string{
		`sum(increase(meterd_messages_total{verdict="accepted"}[1d]))`,
		`sum by (product) (increase(meterd_messages_total{verdict="accepted"}[1d]))`,
		`topk(20, sum by (product) (increase(meterd_messages_total{verdict="accepted"}[1d])))`,
	} {
		b.Run(fmt.Sprintf("products=%d/%s", n, query), func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				end := quarterMs(now)/1000 - int64(i)*61 // Another window each time: nothing of it is in the cache.
				at := time.Now()
				body := ask(b, h, Query{Path: "query_range", Form: form("query", query,
					"start", strconv.FormatInt(end-390*86400, 10), "end", strconv.FormatInt(end, 10), "step", "86400")})
				took = append(took, time.Since(at))
				if len(body) < 1000 {
					b.Fatal(body)
				}
			}
			slowest := time.Duration(0)
			for _, d := range took {
				slowest = max(slowest, d)
			}
			b.ReportMetric(slowest.Seconds(), "slowest-s")
		})
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.supervisors[1].pid.Load()))
	must(b, err)
	b.Logf("%s", status)
}
