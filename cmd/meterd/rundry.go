package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/shard/query"
)

const (
	// runDryDays is how far ahead the metric looks: time enough to buy licences.
	runDryDays = 30
	// runDryEvery is how often it is worked out: it passes over the device table, some 0.5 µs a device, which no scrape
	// shall wait for.
	runDryEvery = 10 * time.Minute
)

// registerRunDry adds how many products have no licence left soon, as their forecasts say; watchRunDry stores it. Which
// ones these are no metric says: whoever may read /metrics need not know of accounts.
func registerRunDry(set *metric.Set) *atomic.Int64 {
	products := new(atomic.Int64)
	set.Gauges("meterd_products_run_dry", "Products that will ask for a licence in 30 days that is not there.").
		Func(func() float64 { return float64(products.Load()) })
	return products
}

// watchRunDry works products out until ctx ends.
func watchRunDry(ctx context.Context, reader *query.Reader, products *atomic.Int64) {
	ticker := time.NewTicker(runDryEvery)
	defer ticker.Stop()
	for {
		if n, err := countRunDry(ctx, reader); err == nil { // If not, the reader has logged why.
			products.Store(n)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func countRunDry(ctx context.Context, reader *query.Reader) (products int64, err error) {
	outlooks, err := reader.Outlooks(ctx, runDryDays, func(*license.Product) bool { return true })
	for _, o := range outlooks {
		if _, dry := o.RunsDry(); dry {
			products++
		}
	}
	return products, err
}
