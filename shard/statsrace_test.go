package shard

import (
	"testing"

	"github.com/meterd/meterd/metric"
)

// Groups may be committed while the metrics are registered: what follows the log can have one committed as soon as the
// engine is open.
func TestCommitWhileMetricsAreRegistered(t *testing.T) {
	m := newMachine(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			m.stats.committed(1, 1, 1, 1)
			m.stats.sealed(1, 1)
		}
	}()
	m.RegisterMetrics(metric.NewSet())
	<-done
}
