package main

import (
	"context"
	"sync"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/shard/query"
)

const (
	// runDryDays is how far ahead the metric looks: time enough to buy licences.
	runDryDays = 30
	// runDryEvery is how often it is worked out at most: it passes over the device table, at 20 ns a device.
	runDryEvery = 10 * time.Minute
)

// registerRunDry adds how many products have no licence left soon, as their forecasts say. Which ones these are no
// metric says: whoever may read /metrics need not know of accounts.
func registerRunDry(set *metric.Set, reader *query.Reader) {
	var mu sync.Mutex
	var at time.Time
	var products int
	set.Gauges("meterd_products_run_dry", "Products that will ask for a licence in 30 days that is not there.").
		Func(func() float64 {
			mu.Lock()
			defer mu.Unlock()
			now := time.Now()
			if now.Sub(at) < runDryEvery {
				return float64(products)
			}
			at = now
			outlooks, err := reader.Outlooks(context.Background(), runDryDays, func(*license.Product) bool { return true })
			if err != nil {
				return float64(products) // The reader has logged why.
			}
			products = 0
			for _, o := range outlooks {
				if _, dry := o.RunsDry(); dry {
					products++
				}
			}
			return float64(products)
		})
}
