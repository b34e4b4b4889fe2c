package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	commitlog "github.com/meterd/meterd/retention/log"
)

// BenchmarkFollow is what a standby takes for an event that its owner has decided, uniform over a million devices:
// reading the segments, joining, handing over to a ledger in memory. groups of so many events are followed one by one,
// as they come, or all at once, as after a pause. cpu-ns/event is the processor time of all cores, of the ledger too.
// promote-ms is what a promotion takes then.
func BenchmarkFollow(b *testing.B) {
	owner, devices := newMachine(b), scaled(1_000_000)
	f := &fleet{machine: owner}
	f.stock("p", `{"messages_per_day":null}`, devices)
	f.fill("connect", "p", 0, devices)
	had := len(owner.log.snapshot())
	for _, rows := range []int{1, 100, 1000, 10_000} {
		owner.kill()
		owner.store = newMemStore()
		owner.log.groups = owner.log.groups[:had:had]
		owner.start()
		f.messages(devices, rows)
		groups := owner.log.snapshot()
		for _, behind := range []bool{false, true} {
			b.Run(fmt.Sprintf("group=%d/behind=%v", rows, behind), func(b *testing.B) {
				benchFollow(b, groups, had, rows, behind)
			})
		}
	}
}

// messages appends groups of so many messages of random devices.
func (f *fleet) messages(devices, rows int) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range max(20, min(2000, 2_000_000/rows)) {
		var body []byte
		for range rows {
			body = lines(body, "up", "p", random.IntN(devices), 1)
		}
		r := &Request{Batch: &event.Batch{}, Producer: []byte("gw")}
		if p := wire.DecodeNDJSON(r.Batch, body); p != nil {
			f.t.Fatal(p)
		}
		if err := f.Submit(r); err != nil || r.Result.Accepted != rows {
			f.t.Fatal(err, r.Result)
		}
	}
}

func benchFollow(b *testing.B, groups []commitlog.Group, had, rows int, behind bool) {
	var took, used, promoted time.Duration
	events := 0
	for b.Loop() { // The timer of b is not used: stopping it takes longer than following a group.
		r := newReplica(b, &handClock{wall: testStart})
		log, err := commitlog.Open(commitlog.Options{Path: filepath.Join(r.dir, "log"), Retention: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		r.kill()
		o := r.options()
		o.Log = log
		for i := range groups[:had] {
			if err := log.Append(&groups[i]); err != nil {
				b.Fatal(err)
			}
		}
		s, err := OpenStandby(o)
		if err != nil {
			b.Fatal(err)
		}
		for i := range groups[had:] {
			if err := log.Append(&groups[had+i]); err != nil {
				b.Fatal(err)
			}
			events += rows
			if behind && had+i+1 < len(groups) {
				continue
			}
			began, processor := time.Now(), processorTime(b)
			if err := s.Follow(b.Context()); err != nil {
				b.Fatal(err)
			}
			took += time.Since(began)
			used += processorTime(b) - processor
		}
		began := time.Now()
		e, err := s.Promote(log, nil)
		promoted += time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		e.fail(errors.New("the benchmark is over"))
		_ = e.Close() // With that error.
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(used)/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(took)/float64(events), "ns/event")
	b.ReportMetric(promoted.Seconds()*1000/float64(b.N), "promote-ms")
}
