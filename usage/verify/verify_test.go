package verify

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRandomHistoriesVerify: what the real engine did, recounted, is what everything says, whatever it was, also while
// the engine has the directory open.
func TestRandomHistoriesVerify(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		t.Logf("seed %d", seed)
		d := newRandomDaemon(t, seed, 14)
		d.must(d.engine.DurableInLedger())
		r := clean(t, d.path)
		d.must(d.close())
		if stopped := clean(t, d.path); stopped.Events != r.Events || r.Events == 0 {
			rt.Fatalf("%d events when it was stopped, %d before", stopped.Events, r.Events)
		}
	})
}

// newRandomDaemon returns a daemon with a history.
func newRandomDaemon(t testing.TB, seed uint64, rounds int) *daemon {
	d := newDaemon(t)
	d.product("p", "UTC", `{"messages_per_day":9,"validity":"P2D","ota_per_month":2,"message_unit_bytes":64}`, 30)
	d.product("q", "+05:17", `{"messages_per_day":null}`, 5)
	d.product("r", "America/New_York", `{"ota_per_month":0}`, 3)
	d.credit("p", "PACK", 50, true)
	d.credit("r", "PACK", 4, true)
	d.randomRounds(rand.New(rand.NewPCG(seed, 1)), rounds)
	return d
}

// TestLogThatBeganLater: of a log whose first groups are gone the rest is recounted, and said what was not; an error in
// it is found as before.
func TestLogThatBeganLater(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		t.Logf("seed %d", seed)
		d := newRandomDaemon(t, seed, 8)
		r := rand.New(rand.NewPCG(seed, 2))
		for range 3 { // What is older than the retention goes with the next checkpoint.
			d.clock.pass(testRetention + 36*time.Hour)
			d.randomRounds(r, 4)
			d.must(d.engine.DurableInLedger())
			d.must(d.engine.Checkpoint())
			last, _, _ := d.log.Last()
			d.must(d.log.Release(d.engine.NowMs(), last))
		}
		d.randomRounds(r, 4)
		d.must(d.close())
		if report := clean(t, d.path); report.FirstGroup == 1 || len(report.Not) == 0 {
			rt.Fatalf("it begins with group %d; not recounted: %q", report.FirstGroup, report.Not)
		}
	})
}
