package shard

import (
	"errors"
	"slices"
	"sync"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
)

// Administration goes the way of events: it is decided, recorded in a group, and answered when the group is durable.
//
//	Administer ─► queue ─► seal of group g, gate closed: decide against the catalogue as it stands, take the time,
//	                       record the result in g, swap the catalogue in ─► g is durable ─► answer
//
// A change is decided after all events of its group and before all events of the next. So two equal orders in one group
// do not both see the old catalogue, and the first event decided after the answer sees the change (R9).

// adminQueue holds what waits to be decided at the next seal.
type adminQueue struct {
	places  chan struct{} // one for each that may wait
	mu      sync.Mutex
	pending []*pendingChange
}

// ChangeFunc builds the next catalogue from the one that holds. A nil catalogue changes nothing. It runs with the gate
// closed: it must be short, and must not call the engine.
type ChangeFunc func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error)

// pendingChange is one call of Administer on its way. The sealer writes the fields below done before it closes done.
type pendingChange struct {
	name  string
	token *access.Token
	fn    ChangeFunc
	done  chan struct{}

	group *group // nil: there is nothing to wait for
	sweep uint64 // number of the sweep that it began, 0 without
	err   error
}

func newAdminQueue() *adminQueue { return &adminQueue{places: make(chan struct{}, adminWaitingMax)} }

func (q *adminQueue) add(p *pendingChange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, p)
}

// take returns the changes of one seal.
func (q *adminQueue) take() []*pendingChange {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.pending), adminChangesASeal)
	taken := q.pending[:n:n]
	q.pending = q.pending[n:]
	return taken
}

// putBack makes changes the first ones of the next seal.
func (q *adminQueue) putBack(list []*pendingChange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(append([]*pendingChange(nil), list...), q.pending...)
}

func (q *adminQueue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pending) > 0
}

// Administer makes one administrative change in the name of a token, which is checked again when the change is decided;
// token is nil for what the daemon does by itself. It returns when the change is durable, and if it suspends many
// devices, when all of them are offline. An error of fn, or a nil catalogue from it, changes nothing; the error also
// waits until what it was decided by is durable. Administration goes on while the clock has leapt, and within a reserve
// while the disk is nearly full.
func (e *Engine) Administer(name string, token *access.Token, fn ChangeFunc) error {
	switch {
	case e.Err() != nil:
		return ErrStopped
	case e.o.Guard.Exhausted():
		return ErrDiskFull
	}
	select {
	case e.admin.places <- struct{}{}:
	case <-e.stop:
		return ErrStopped
	}
	sweep, err := e.change(name, token, fn)
	<-e.admin.places // A sweep's end is a change, too: who waits for it must not keep a place.
	if err != nil || sweep == 0 {
		return err
	}
	return e.awaitSweep(sweep)
}

// change has a change decided, however many wait, and returns when it is durable, with the number of the sweep that it
// began, 0 without.
func (e *Engine) change(name string, token *access.Token, fn ChangeFunc) (sweep uint64, err error) {
	p := &pendingChange{name: name, token: token, fn: fn, done: make(chan struct{})}
	e.admin.add(p)
	signal(e.gate.kick)
	select {
	case <-p.done:
	case <-e.stop:
		return 0, ErrStopped
	}
	if err := e.awaitNewest(p.group); err != nil {
		return 0, err
	}
	return p.sweep, p.err
}

// decideChanges decides what waits, in order, and records it in g. The gate is closed.
func (e *Engine) decideChanges(g *group) (decided []*pendingChange) {
	decided = e.admin.take()
	if len(decided) == 0 {
		return nil
	}
	nowMs, bytes := e.clock.seal(), 0
	for i, p := range decided {
		if bytes > changesBytesMax {
			e.admin.putBack(decided[i:])
			decided = decided[:i]
			break
		}
		cat := e.catalogue.Load()
		if p.token != nil && !cat.Honors(p.token, nowMs) {
			p.err = ErrTokenRevoked
			continue
		}
		next, ch, err := p.fn(cat, license.Actor{Token: p.name, AtMs: nowMs})
		if p.err = err; err != nil || next == nil {
			continue
		}
		encoded := ch.Append(nil)
		bytes += len(encoded)
		g.changes = append(g.changes, encoded)
		g.refreshes = append(g.refreshes, refreshOf(next, ch.Seq, ch.Refresh))
		e.swap(cat, next, ch)
		if sweeping(next, ch.Seq) {
			p.sweep = ch.Seq
		}
	}
	if len(g.changes) > 0 {
		g.reach(nowMs)
	}
	if len(g.changes) > 0 || e.o.Barrier != nil { // A refusal, too, waits for a proof that it comes from the newest state.
		g.entered.Add(1)
	}
	if e.admin.waits() {
		signal(e.gate.kick)
	}
	return decided
}

// swap makes next the catalogue, and does to devices and timers what the change says. The gate is closed.
func (e *Engine) swap(before, next *license.Catalogue, ch *license.Change) {
	e.catalogue.Store(next)
	if !slices.Equal(before.Sweeps(), next.Sweeps()) {
		e.sweeps.change()
	}
	if run, first := e.commands.Run(); first {
		l := e.gate.all[0] // No request has it now.
		l.begin(ch.AtMs, 0)
		l.records.Run(run)
		l.end(true)
	}
	if ch.Device != nil {
		e.suspendDevice(next, ch.Device, ch.AtMs)
	}
	if p := next.ProductByID(ch.Refresh); p != nil {
		old := before.ProductByID(p.ID)
		if old != nil && old.ValidityVersion() != p.ValidityVersion() {
			e.expiry.searchNow() // Ends have moved, perhaps into the past.
		}
	}
}

// decidedAt gives the changes of a seal the group to wait for.
func decidedAt(newest *group, decided []*pendingChange) {
	for _, p := range decided {
		p.group = newest
		close(p.done)
	}
}

// ErrTokenRevoked means that the token was deleted or has expired since the request came. Nothing was changed or
// counted.
var ErrTokenRevoked = errors.New("the token was deleted or has expired")
