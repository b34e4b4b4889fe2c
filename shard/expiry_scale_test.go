package shard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/usage"
)

// The benchmarks of this file need millions of devices: with -short they have some thousands, and show only that they
// run.
const (
	scaleDevices   = 10_000_000
	scaleEnds      = 100_000
	scaleUpgraded  = 1_000_000
	scaleShortened = 500 // what -short divides by
)

func scaled(n int) int {
	if testing.Short() {
		return n / scaleShortened
	}
	return n
}

// steadyClock runs like a machine's, and a test may hold it or put it forward.
type steadyClock struct {
	mu      sync.Mutex
	running time.Duration // at since
	since   time.Time     // zero while it is held
}

func (c *steadyClock) Now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := c.running
	if !c.since.IsZero() {
		running += time.Since(c.since)
	}
	return testStart.Add(running), running
}

// hold stops the clock and returns its second, Unix.
func (c *steadyClock) hold() int64 {
	_, running := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.since = running, time.Time{}
	return testStart.Add(running).Unix()
}

// run lets the clock go on from a wall time that is not before the one it shows.
func (c *steadyClock) run(from time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.since = max(c.running, from.Sub(testStart)), time.Now()
}

// fleet is an engine on a real disk whose table is full of devices.
type fleet struct {
	*machine
	steady   *steadyClock
	onDisk   *ledger.Store // the ledger's
	sequence atomic.Uint64 // the last one that a benchmark sent
}

func newFleet(b *testing.B) *fleet {
	b.Helper()
	return newFleetOn(b, nil)
}

// newFleetOn returns a fleet that commits to instead, if it is not nil.
func newFleetOn(b *testing.B, instead Log) *fleet {
	b.Helper()
	f := &fleet{
		machine: &machine{
			t:     b,
			dir:   b.TempDir(),
			clock: &handClock{wall: testStart},
			disk:  &wideDisk{},
			store: newMemStore(),
		},
		steady: &steadyClock{since: time.Now()},
	}
	o := f.options()
	o.Clock, o.Lanes = f.steady, 0
	log, err := commitlog.Open(commitlog.Options{Path: filepath.Join(f.dir, "log"), Retention: o.Retention})
	if err != nil {
		b.Fatal(err)
	}
	store, err := ledger.Open(ledger.Options{Path: filepath.Join(f.dir, "ledger"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	f.onDisk = store
	if o.Log, o.Ledger = log, usage.New(usage.Options{Store: store}); instead != nil {
		o.Log = instead
	}
	if f.Engine, err = Open(o); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		f.fail(errors.New("the benchmark is over")) // No checkpoint of millions of devices for nobody.
		close(f.stop)
		f.wg.Wait()
		f.views.Close()
		if err := errors.Join(log.Close(), store.Close(), f.table.Close()); err != nil {
			b.Error(err)
		}
	})
	return f
}

// stock creates a product that has exactly n licences, the gifts of its account among them.
func (f *fleet) stock(product, plan string, n int) *license.Product {
	f.t.Helper()
	f.product(product, plan, uint64(n-gifts))
	return f.Catalogue().Product([]byte(product))
}

// fill has devices from first to first+n send an event of a kind, in batches from two callers.
func (f *fleet) fill(kind, product string, first, n int) {
	f.t.Helper()
	const batch = 5000
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var body []byte
			r := &Request{Batch: &event.Batch{}, Producer: []byte("gw")}
			for {
				from := int(next.Add(batch)) - batch
				if from >= n {
					return
				}
				count := min(batch, n-from)
				body = lines(body[:0], kind, product, first+from, count)
				if p := wire.DecodeNDJSON(r.Batch, body); p != nil {
					f.t.Error(p)
					return
				}
				if err := f.Submit(r); err != nil || r.Result.Accepted != count {
					f.t.Errorf("%s: %d of %d accepted, %v", kind, r.Result.Accepted, count, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
}

func lines(dst []byte, kind, product string, first, n int) []byte {
	for i := range n {
		dst = fmt.Appendf(dst, "{\"type\":%q,\"product\":%q,\"device\":\"d%d\",\"size\":100}\n", kind, product, first+i)
	}
	return dst
}

// traffic has two callers send messages of a product's devices in batches of NDJSON until it is told to stop. It keeps
// how long the longest request took since the last look.
type traffic struct {
	longest atomic.Int64 // nanoseconds
	stop    atomic.Bool
	wg      sync.WaitGroup
}

func (f *fleet) traffic(product string, devices, batch int) *traffic {
	t := &traffic{}
	bodies := make([][]byte, 64)
	for i := range bodies {
		bodies[i] = lines(nil, "up", product, i*max(0, devices-batch)/len(bodies), min(batch, devices))
	}
	for w := range 2 {
		t.wg.Go(func() {
			r := &Request{Batch: &event.Batch{}, Producer: []byte("gw")}
			for i := w; !t.stop.Load(); i++ {
				body := bytes.Clone(bodies[i%len(bodies)])
				began := time.Now()
				if p := wire.DecodeNDJSON(r.Batch, body); p != nil {
					f.t.Error(p)
					return
				}
				if err := f.Submit(r); err != nil || len(r.Result.Denials) > 0 {
					f.t.Errorf("%d denied, %v", len(r.Result.Denials), err)
					return
				}
				raise(&t.longest, int64(time.Since(began)))
			}
		})
	}
	return t
}

func raise(most *atomic.Int64, n int64) {
	for {
		have := most.Load()
		if n <= have || most.CompareAndSwap(have, n) {
			return
		}
	}
}

// look returns the longest request since the last look, in milliseconds.
func (t *traffic) look() float64 { return float64(t.longest.Swap(0)) / 1e6 }

func (t *traffic) end() {
	t.stop.Store(true)
	t.wg.Wait()
}

// gateClosed returns how long the gate was closed at most since the last look, in milliseconds.
func (f *fleet) gateClosed() float64 { return float64(f.stats.stallMaxNs.Swap(0)) / 1e6 }

// processorTime returns what the process has used of the processor.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What looking for ends costs when there are none: once a minute the whole table is searched, so the processor time of
// a search divided by a minute is the share of a core that it takes (build for ≤ 2 %).
func BenchmarkNothingEnds(b *testing.B) {
	n := scaled(scaleDevices)
	b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
		f := newFleet(b)
		f.stock("p", `{"validity":"P5Y"}`, n)
		f.fill("connect", "p", 0, n)
		if err := f.DurableInLedger(); err != nil {
			b.Fatal(err)
		}
		var used time.Duration
		searches := 0
		for b.Loop() {
			began := processorTime(b)
			now, _ := f.steady.Now()
			f.steady.run(now.Add(expiryScanEvery))
			if err := f.expire(); err != nil {
				b.Fatal(err)
			}
			used += processorTime(b) - began
			searches++
		}
		b.ReportMetric(100*used.Seconds()/float64(searches)/expiryScanEvery.Seconds(), "%core")
		b.ReportMetric(float64(used.Nanoseconds())/float64(searches)/float64(n), "ns/device")
	})
}

// Many online devices end in the same second, in a full table and under traffic: how long after the end the last one is
// renewed, or put offline, durably (R3 wants a second), how long the gate was closed meanwhile, and the longest request
// of somebody else.
func BenchmarkManyEnd(b *testing.B) {
	n, ends := scaled(scaleDevices), scaled(scaleEnds)
	for _, c := range []struct {
		name     string
		licenses int
		done     func(*fleet, *license.Product) bool
	}{
		{"renewed", 2 * ends, func(f *fleet, p *license.Product) bool { return f.licenses(p.Name).Available == 0 }},
		{"offline", ends, func(_ *fleet, p *license.Product) bool { return p.State.Online.Load() == 0 }},
	} {
		b.Run(fmt.Sprintf("%s/devices=%d/ends=%d", c.name, n, ends), func(b *testing.B) {
			f := newFleet(b)
			f.stock("others", `{"validity":"P5Y","messages_per_day":null}`, n)
			f.fill("connect", "others", 0, n)
			var last, gate, longest float64
			round := 0
			for b.Loop() {
				round++
				name := fmt.Sprint("ending", round)
				p := f.stock(name, `{"validity":"PT60S"}`, c.licenses)
				f.steady.run(testStart.Add(time.Duration(f.steady.hold()-testStart.Unix()+1) * time.Second))
				end := time.Unix(f.steady.hold()+60, 0)
				f.fill("connect", name, 0, ends)
				if err := f.DurableInLedger(); err != nil {
					b.Fatal(err)
				}
				t := f.traffic("others", n, 1000)
				f.steady.run(end.Add(-time.Second))
				f.awaitTime(end)
				f.gateClosed()
				t.look()
				for !c.done(f, p) {
					f.awaitTime(f.now().Add(time.Millisecond))
				}
				if err := f.Durable(); err != nil {
					b.Fatal(err)
				}
				last = max(last, f.now().Sub(end).Seconds()*1000)
				gate, longest = max(gate, f.gateClosed()), max(longest, t.look())
				t.end()
			}
			b.ReportMetric(last, "ms/last")
			b.ReportMetric(gate, "ms/gate")
			b.ReportMetric(longest, "ms/longest-request")
		})
	}
}

func (f *fleet) now() time.Time {
	now, _ := f.steady.Now()
	return now
}

// awaitTime returns when the fleet's clock shows at.
func (f *fleet) awaitTime(at time.Time) {
	for d := at.Sub(f.now()); d > 0; d = at.Sub(f.now()) {
		<-time.After(d)
	}
}

// An upgrade of a product with a million active devices under traffic: the longest request within a second of it (build
// for ≤ 20 ms), beside the longest of a second without one, and how long the gate was closed; of several rounds the one
// in the middle, and the worst.
func BenchmarkUpgrade(b *testing.B) {
	n := scaled(scaleUpgraded)
	for _, change := range []struct{ name, plan string }{
		{"validity", `{"validity":"P%dY"}`}, {"messages", `{"messages_per_day":%d00000}`},
	} {
		b.Run(fmt.Sprintf("%s/devices=%d", change.name, n), func(b *testing.B) {
			f := newFleet(b)
			f.stock("p", `{"validity":"P5Y","messages_per_day":500000}`, n)
			f.fill("connect", "p", 0, n)
			if err := f.DurableInLedger(); err != nil {
				b.Fatal(err)
			}
			t := f.traffic("p", n, 1000)
			f.awaitTime(f.now().Add(time.Second))
			var request, requestCalm, gate, gateCalm []float64
			step := 6
			for b.Loop() {
				f.awaitTime(f.now().Add(2 * time.Second)) // The ends of the upgrade before are all computed anew.
				t.look()
				f.gateClosed()
				f.awaitTime(f.now().Add(time.Second))
				requestCalm, gateCalm = append(requestCalm, t.look()), append(gateCalm, f.gateClosed())
				f.upgrade("p", fmt.Sprintf(change.plan, step))
				f.awaitTime(f.now().Add(time.Second))
				request, gate = append(request, t.look()), append(gate, f.gateClosed())
				step++
			}
			t.end()
			b.ReportMetric(median(request), "ms/request")
			b.ReportMetric(slices.Max(request), "ms/request-worst")
			b.ReportMetric(median(requestCalm), "ms/request-without")
			b.ReportMetric(slices.Max(requestCalm), "ms/request-without-worst")
			b.ReportMetric(median(gate), "ms/gate")
			b.ReportMetric(median(gateCalm), "ms/gate-without")
		})
	}
}

// median returns the one in the middle of the rounds: a neighbour on the machine spoils the worst.
func median(rounds []float64) float64 {
	slices.Sort(rounds)
	return rounds[len(rounds)/2]
}

func (f *fleet) upgrade(product, plan string) {
	f.t.Helper()
	var patch license.PlanPatch
	if err := patch.UnmarshalJSON([]byte(plan)); err != nil {
		f.t.Fatal(err)
	}
	f.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetPlan(by, product, patch)
		return next, ch, err
	})
}

// Computing the end of a licence anew, as an upgrade does for every active device, in a zone without and with daylight
// saving, after one and after ten changes of the validity.
func BenchmarkExpiryS(b *testing.B) {
	for _, name := range []string{"UTC", "Asia/Shanghai", "Europe/Berlin"} {
		for _, steps := range []int{2, 11} {
			b.Run(fmt.Sprintf("%s/validities=%d", name, steps), func(b *testing.B) {
				zone, err := calendar.ParseZone(name)
				if err != nil {
					b.Fatal(err)
				}
				p := &license.Product{Zone: zone}
				for i := range steps {
					p.Validities = append(p.Validities, license.ValidityStep{FromS: int64(i), Validity: calendar.Period{Years: 5 + i}})
				}
				b.ReportAllocs()
				at := testStart.Unix()
				for b.Loop() {
					at += p.ExpiryS(at) & 1
				}
			})
		}
	}
}
