package shard

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/claims"
)

// noLog takes groups and keeps nothing: what is left is the engine's own work.
type noLog struct{ memLog }

func (*noLog) Append(*commitlog.Group) error { return nil }

// BenchmarkSubmit is what the engine does with decoded batches, from Submit to the answer: uniform over a million
// devices, with sequences, every caller a producer of its own. log=disk syncs every group; log=none is the same without
// it. An operation is an event. cpu-ns/event is the processor time of all cores, the callers' included; B/event what
// Append was given.
func BenchmarkSubmit(b *testing.B) {
	withAndWithoutDisk(b, `{"messages_per_day":null}`, func(b *testing.B, f *fleet, devices int) {
		for _, c := range []struct{ batch, callers int }{
			{1, 1},
			{1, 64},
			{1, 512},
			{10, 64},
			{100, 64},
			{1000, 32},
			{5000, 16},
		} {
			b.Run(fmt.Sprintf("batch=%d/callers=%d", c.batch, c.callers), func(b *testing.B) {
				f.benchSubmit(b, "p", devices, c.batch, c.callers, event.Accepted)
			})
		}
	})
}

// withAndWithoutDisk runs a benchmark with a million devices of product p online, twice.
func withAndWithoutDisk(b *testing.B, plan string, run func(b *testing.B, f *fleet, devices int)) {
	for _, log := range []string{"disk", "none"} {
		b.Run("log="+log, func(b *testing.B) {
			var instead Log
			if log == "none" {
				instead = &noLog{}
			}
			f := newFleetOn(b, instead)
			devices := scaled(1_000_000)
			f.stock("p", plan, devices)
			f.fill("connect", "p", 0, devices)
			run(b, f, devices)
		})
	}
}

// benchSubmit submits messages of random devices, which are all answered with code.
func (f *fleet) benchSubmit(b *testing.B, product string, devices, batch, callers int, code event.Code) {
	const distinct = 64 // batches a caller, so that no two in flight are about the same devices
	requests := make([][]*Request, callers)
	random := rand.New(rand.NewPCG(1, uint64(batch)))
	for i := range requests {
		for range max(1, min(distinct, 2_000_000/(batch*callers))) {
			r := &Request{Batch: &event.Batch{}, Producer: fmt.Appendf(nil, "gw-%d", i), Claim: &claims.Claim{}}
			var body []byte
			for range batch {
				body = lines(body, "up", product, random.IntN(devices), 1)
			}
			if p := wire.DecodeNDJSON(r.Batch, body); p != nil {
				b.Fatal(p)
			}
			requests[i] = append(requests[i], r)
		}
	}
	var left atomic.Int64
	left.Store(int64((b.N + batch - 1) / batch))
	groups, bytes := f.stats.groups.Load(), f.stats.bytes.Load()
	f.gateClosed()
	b.ReportAllocs()
	b.ResetTimer()
	used := processorTime(b)
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			for n := 0; left.Add(-1) >= 0; n++ {
				r := requests[i][n%len(requests[i])]
				*r.Claim = claims.Claim{Sequence: f.sequence.Add(1)}
				err := f.Submit(r)
				n := r.Result.Accepted
				if d := r.Result.Denials; code != event.Accepted && len(d) > 0 && d[0].Verdict.Code == code {
					n = len(d)
				}
				if err != nil || n != batch {
					b.Errorf("%d of %d answered with %s: %v", n, batch, code, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	events := float64((b.N + batch - 1) / batch * batch)
	b.ReportMetric(float64(processorTime(b)-used)/events, "cpu-ns/event")
	b.ReportMetric(float64(b.Elapsed())/events, "ns/event")
	b.ReportMetric(events/max(1, float64(f.stats.groups.Load()-groups)), "events/group")
	b.ReportMetric(float64(f.stats.bytes.Load()-bytes)/events, "B/event")
	b.ReportMetric(f.gateClosed(), "gate-ms")
}
