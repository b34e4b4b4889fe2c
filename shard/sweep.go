package shard

import (
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// A sweep takes the online devices of a suspended account or product offline (R20). Events are denied from the seal of
// the suspension on; the sweep then writes absolute session words and commands, a bounded number of rows a turn. It is
// pending in the catalogue until its last group is durable, so that a restart resumes it. The sweep that frees the
// ordinals of forgotten producers is another one: sweepHolders (producers.go).

// sweeps lets callers wait for the end of a sweep.
type sweeps struct {
	kick    chan struct{}
	mu      sync.Mutex
	changed chan struct{} // closed when a sweep has begun or ended
}

func (s *sweeps) init() {
	s.kick = make(chan struct{}, 1)
	s.changed = make(chan struct{})
}

// wait returns a channel that is closed when sweeps have begun or ended.
func (s *sweeps) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// change wakes who waits. A sweep ends when it is carried out, but also when another change makes it needless: the
// suspension is lifted, or the account or product let go.
func (s *sweeps) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// runSweeps carries out pending sweeps, those of a former run first.
func (e *Engine) runSweeps() {
	for {
		var again <-chan time.Time
		for _, s := range e.catalogue.Load().Sweeps() {
			if err := e.sweep(s); err != nil {
				again = time.After(sweepRetryAfter)
				break
			}
		}
		select {
		case <-e.sweeps.kick:
		case <-again:
		case <-e.stop:
			return
		case <-e.failed:
			return
		}
	}
}

// sweep carries out one sweep and records its end.
func (e *Engine) sweep(s license.Sweep) error {
	var last *group
	for shard := range shards {
		for {
			n, g, err := e.sweepShard(s, shard)
			if err != nil {
				return err
			}
			if g != nil {
				last = g
			}
			if n < sweepRowsATurn {
				break
			}
		}
	}
	if err := e.awaitNewest(last); err != nil {
		return err
	}
	end := func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch := c.EndSweep(s.Seq)
		if ch != nil {
			ch.AtMs = by.AtMs
		}
		return next, ch, nil
	}
	_, err := e.change("", nil, end) // However full the disk is: it ends what waits.
	return err
}

// sweepShard takes devices of one shard of the table offline, at most sweepRowsATurn, and returns how many.
func (e *Engine) sweepShard(s license.Sweep, shard int) (n int, g *group, err error) {
	g, err = e.withTurn(room{bytes: rowBytes * sweepRowsATurn, atLeap: true}, func(t *turn) error {
		t.begin(0)
		for slot := range e.table.Slots(shard) {
			if n == sweepRowsATurn {
				return nil
			}
			if !slot.Session().Online() {
				continue
			}
			p := t.cat.ProductByID(slot.Product())
			if p == nil || !concerns(s, p) || t.cat.Scope(p) == event.ScopeNone { // It was let go meanwhile.
				continue
			}
			t.product, t.slot = p, slot
			t.putOffline(event.Suspended)
			n++
		}
		return nil
	})
	return n, g, err
}

// sweeping reports whether the sweep that change seq began is pending.
func sweeping(c *license.Catalogue, seq uint64) bool {
	return slices.ContainsFunc(c.Sweeps(), func(s license.Sweep) bool { return s.Seq == seq })
}

// concerns reports whether a sweep takes the devices of a product offline.
func concerns(s license.Sweep, p *license.Product) bool {
	return s.ProductID == p.ID || s.AccountID == p.AccountID
}

// awaitSweep returns when a sweep has ended.
func (e *Engine) awaitSweep(seq uint64) error {
	signal(e.sweeps.kick)
	for {
		changed := e.sweeps.wait()
		if !sweeping(e.catalogue.Load(), seq) {
			return e.Durable()
		}
		select {
		case <-changed:
		case <-e.failed:
			return ErrStopped
		case <-e.stop:
			return ErrStopped
		}
	}
}

// suspendDevice does what a change says of one device. The gate is closed, so no request has lane 0; what it records
// belongs to the group that is being sealed.
func (e *Engine) suspendDevice(cat *license.Catalogue, d *license.DeviceSuspension, nowMs int64) {
	slot := e.table.Find(e.table.KeyOf(d.Product, []byte(d.Device)))
	if slot == nil {
		return
	}
	l := e.gate.all[0]
	t := turn{ground: e.ground, e: e, l: l, cat: cat, nowMs: nowMs, slot: slot, product: cat.ProductByID(d.Product)}
	t.begin(0)
	t.disown()
	if slot.Session().Online() {
		t.tell(event.Suspended, func() counters.SessionOutcome { return slot.SetSuspended(d.Suspended) })
	} else {
		t.suspendOffline(d.Suspended)
	}
	l.end(!l.records.Empty())
}

// suspendOffline suspends the device in hand, which is offline, or lets it go. A command that it has not obeyed yet
// goes on under its new session.
func (t *turn) suspendOffline(suspended bool) {
	var out counters.SessionOutcome
	m, kept := t.e.commands.Renew(t.slot.Ordinal(), func() (from, to uint64) {
		out = t.slot.SetSuspended(suspended)
		return out.Before.Change(), out.After.Change()
	})
	t.session(out)
	if kept {
		t.l.records.Command(m)
	}
}
