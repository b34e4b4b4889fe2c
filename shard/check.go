package shard

import (
	"errors"
	"sync/atomic"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// A check says what would be answered to a batch if it were sent as events, and leaves nothing. It is decided by the
// same code, on copies of what it looks at:
//
//	Check ─► in the gate: copy slots, products, pools, ids as they are looked up ─► decide each event on the copies
//	      ─► out of the gate: wait for the newest group ─► answer
//
// So the events of a batch add up, and what was acknowledged before the call counts. It takes a place among the lanes,
// since no more should be inside than there are processors, but its records go to a lane of its own, which is never
// written.

// Check decides the events of r.Batch in order as Submit would, and returns the verdicts in r.Result. It counts, logs,
// remembers and binds nothing; r.Claim is not looked at. Its errors are those of Submit but for sequences and memory
// for devices. Other requests may be decided between its events, as between those of a batch.
func (e *Engine) Check(r *Request) error {
	if err := e.refuse(); err != nil {
		return err
	}
	r.Replayed, r.group = false, nil
	r.claim.Reset()
	for range lookAgainMax {
		r.Result.Reset()
		e.resolve(r)
		if r.hasIDs {
			if err := e.resolveUpgrades(r); err != nil {
				return err
			}
		}
		g, err := e.check(r)
		if err == nil {
			return e.awaitNewest(g)
		}
		if !errors.Is(err, errLookAgain) {
			return e.proved(err)
		}
	}
	return ErrOverloaded
}

// check decides a request inside the gate, and returns the newest group that it may have seen.
func (e *Engine) check(r *Request) (*group, error) {
	place := <-e.gate.lanes
	defer func() { e.gate.lanes <- place }()
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	if e.closed.Load() {
		return nil, ErrStopped
	}
	events, nowMs := len(r.Batch.Events), e.clock.view()
	t := &turn{
		ground: ground{
			sketch:   license.NewSketch(),
			table:    counters.NewOverlay(e.table, events),
			upgrades: &triedUpgrades{below: e.upgrades},
			repeats:  triedRepeats{below: e.repeats, tried: map[record.EventKey]record.Outcome{}},
			commands: noCommands{},
			serial:   new(atomic.Uint64),
			expiry:   &expiry{},
		},
		e:       e,
		l:       &lane{records: &record.Builder{}},
		r:       r,
		cat:     e.catalogue.Load(),
		nowMs:   nowMs,
		nowS:    secondOf(nowMs),
		quarter: uint32(nowMs / record.QuarterMs),
	}
	t.begin(e.holderOf(r))
	for from := 0; from < events; from += findBatch {
		if from > 0 && from%checkEventsAHold == 0 {
			e.gate.mu.RUnlock() // What was looked up is copied, and a seal may wait.
			e.gate.mu.RLock()
			if e.closed.Load() {
				return nil, ErrStopped
			}
		}
		if err := t.mayDecide(); err != nil {
			return nil, err
		}
		t.decideBlock(from, min(from+findBatch, events))
	}
	t.finish()
	e.checked.Add(uint64(events))
	return e.witness(), nil
}

// holderOf returns the number of the request's producer, and one that hardly any has if it is a new one.
func (e *Engine) holderOf(r *Request) uint32 {
	if len(r.Producer) == 0 {
		return 0
	}
	if p := e.producers.Find(r.Account, r.Producer); p != nil {
		return p.Ordinal
	}
	return counters.HolderMax
}

// triedUpgrades are the ids of a check over those in memory.
type triedUpgrades struct {
	below upgradeTable
	tried map[string]*record.Upgrade
}

// Find implements upgradeTable.
func (u *triedUpgrades) Find(key []byte) *record.Upgrade {
	if up := u.tried[string(key)]; up != nil {
		return up
	}
	return u.below.Find(key)
}

// Put implements upgradeTable.
func (u *triedUpgrades) Put(key []byte, up *record.Upgrade, _ uint64) {
	if u.tried == nil {
		u.tried = map[string]*record.Upgrade{}
	}
	u.tried[string(key)] = up
}

// triedRepeats are the CloudEvents of a check over those that were decided. It keeps nobody waiting.
type triedRepeats struct {
	below repeatTable
	tried map[record.EventKey]record.Outcome
}

// Begin implements repeatTable.
func (r triedRepeats) Begin(k *record.EventKey, nowS int64) record.Outcome {
	if o, found := r.tried[*k]; found {
		return o
	}
	o := r.below.Begin(k, nowS)
	r.below.Forget(k, false)
	return o
}

// Remember implements repeatTable.
func (r triedRepeats) Remember(d record.Decided) { r.tried[d.Key] = d.Outcome }

// Forget implements repeatTable.
func (r triedRepeats) Forget(*record.EventKey, bool) {}

// noCommands changes the session of a copy and tells nobody.
type noCommands struct{}

// Add implements commandBook.
func (noCommands) Add(decide func() (record.Command, bool)) (record.Command, bool) {
	decide()
	return record.Command{}, false
}

// Disown implements commandBook.
func (noCommands) Disown(_ counters.Ordinal, change func() (from, to uint64)) (record.Command, bool) {
	change()
	return record.Command{}, false
}
